"""Run by `test_mlp_triton`: compiles the MLP's kernels for devices that need not be here.

Prints one line a kernel; what follows the last colon is the shared memory it takes, in bytes.
"""

from __future__ import annotations

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from dff.fields import mlp_triton
from dff.fields.mlp_triton import Network
from dff.fields.mlp_triton_kernels import gradients_kernel, values_kernel

COLOUR, FEATURES = Network(3, 31, 64, 3), Network(2, 48, 64, 64)
LARGEST_OF_OLD, LARGEST = Network(3, 64, 64, 64), Network(4, 64, 64, 64)
NETWORKS = {  # by compute capability: Turing, Ampere, and Ada, which has the least of what is new
    75: (COLOUR, FEATURES, LARGEST_OF_OLD),
    80: (COLOUR, FEATURES, LARGEST),
    89: (COLOUR, FEATURES, Network(1, 7, 9, 9), LARGEST),
}


def shared_memory(kernel, constants: tuple[int, ...], generation: int) -> int:
    names = kernel.arg_names
    fixed = dict(zip(names[-len(constants) :], constants, strict=True))
    numbers = ("points", "blocks_each")
    signature = {
        name: "constexpr" if name in fixed else "i32" if name in numbers else "*fp32"
        for name in names
    }
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(names)
        if signature[name] == "*fp32"
    }
    made = triton.compile(
        ASTSource(
            fn=kernel,
            signature=signature,
            constexprs={(names.index(name),): value for name, value in fixed.items()},
            attrs=aligned,
        ),
        target=GPUTarget("cuda", generation, 32),
        options=mlp_triton.RUN,
    )
    assert made.asm["cubin"]
    return made.metadata.shared


def main() -> None:
    for generation, networks in NETWORKS.items():
        for network in networks:
            sizes = mlp_triton._sizes(network)
            values = shared_memory(values_kernel, sizes, generation)
            gradients = shared_memory(gradients_kernel, (*sizes, True, True), generation)
            name = ",".join(map(str, network))
            print(f"sm_{generation}:{name}:values:{values}")
            print(f"sm_{generation}:{name}:gradients:{gradients}", flush=True)


if __name__ == "__main__":
    main()
