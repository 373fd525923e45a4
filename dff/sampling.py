"""The samplers of rays: nerfstudio's proposal sampler, while training and outside of it."""

from __future__ import annotations

import numpy as np
from nerfstudio.model_components.ray_samplers import PDFSampler, ProposalNetworkSampler

from dff.model_config import DFFModelConfig


def training_sampler(config: DFFModelConfig) -> ProposalNetworkSampler:
    """Jittered samples; the proposal networks are trained in some of the steps alone."""
    return ProposalNetworkSampler(
        num_nerf_samples_per_ray=config.num_nerf_samples_per_ray,
        num_proposal_samples_per_ray=config.num_proposal_samples_per_ray,
        num_proposal_network_iterations=config.num_proposal_iterations,
        single_jitter=config.use_single_jitter,
        update_sched=lambda step: proposal_interval(config, step),
        pdf_sampler=PDFSampler(include_original=False, single_jitter=config.use_single_jitter),
    )


def rendering_sampler(config: DFFModelConfig, finer: int = 1) -> ProposalNetworkSampler:
    """Samples in the same places every time, where the field is asked ``finer`` times as many.

    The more there are, the less padding they need to find what the proposal networks do not expect.
    """
    samples = (config.eval_num_proposal_samples,) * config.num_proposal_iterations
    return ProposalNetworkSampler(
        num_nerf_samples_per_ray=finer * config.eval_num_nerf_samples,
        num_proposal_samples_per_ray=samples,
        num_proposal_network_iterations=config.num_proposal_iterations,
        pdf_sampler=PDFSampler(
            include_original=False, histogram_padding=config.eval_histogram_padding / finer**2
        ),
    )


def proposal_interval(config: DFFModelConfig, step: int) -> float:
    """Steps from one that trains the proposal networks to the next: more of them later on."""
    most = config.proposal_update_every
    return float(np.clip(np.interp(step, [0, config.proposal_warmup], [0, most]), 1, most))
