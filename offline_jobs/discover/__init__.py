"""The job `discover`: finds the prompts that applications build in the recorded traffic."""
