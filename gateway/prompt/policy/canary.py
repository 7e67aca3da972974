"""Chooses between the canary and the stable version of a template."""

from gateway.exchange import Arm, CanaryTrial, Exchange
from gateway.prompt.library.library import OfferedVersions
from gateway.prompt.policy.arms import RewriteDecision, takes_part


def choose_version(exchange: Exchange, offered: OfferedVersions) -> RewriteDecision:
    """Choose the canary if the exchange is in the canary's share, and the stable version otherwise.

    The result has no template if only a canary exists and the exchange is outside its share.
    """
    canary, share = offered.canary, offered.share
    if canary is not None and takes_part(exchange, CanaryTrial(canary.ref, share)):
        return RewriteDecision(canary, Arm.CANARY, f"among the {share:.0%} of the canary")
    if offered.stable is None:
        ref = canary.ref if canary else "nothing"
        return RewriteDecision(
            None, Arm.NONE, f"outside the {share:.0%} of the canary {ref}, and there is no other version"
        )
    return RewriteDecision(offered.stable, Arm.STABLE)
