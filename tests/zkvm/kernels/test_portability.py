"""Plain kernels where numba is absent; fast kernels, bit for bit the same, on a processor with nothing but SSE2."""

import os
import subprocess
import sys

import pytest

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
sys.modules["llvmlite"] = None
sys.modules["numpy"] = None
from zkvm.kernels.reference import extension, fri, merkle, montgomery, ntt, poseidon2
extended = ntt.low_degree_extension([[i, i * i] for i in range(8)])
tree = merkle.commit([extended])
merkle.verify_opening(tree.root, [16], [2], 5, merkle.open_rows([extended], 5), merkle.open(tree, 5))
print(tree.root)
"""

FAST = """
import numpy as np
from zkvm.field.extension import Extension
from zkvm.kernels.fast import extension, fri, merkle, montgomery, ntt, poseidon2, simd
matrix = montgomery.to_montgomery(np.array([[i, i * i] for i in range(8)], dtype=np.uint32))
extended = ntt.low_degree_extension(matrix)
values = extension.from_elements([Extension((i, 2, 3, 4, i)) for i in range(32)])
quotients = extension.multiply(values, extension.batch_inverse(values[::-1].copy()))
folded = fri.fold(quotients, Extension((1, 2, 3, 4, 5)), 2)
print(merkle.commit([extended]).root)
print(extension.to_elements(folded)[1], poseidon2.grind([1] * 9, 6))
"""


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_plain_kernels_need_no_numba():
    assert run(WITHOUT_NUMBA).startswith("(")


@pytest.mark.heavy
def test_portable_processor_gives_the_same_results():
    pytest.importorskip("numba", reason="the fast kernels need numba")
    native = run(FAST)
    assert native.splitlines()[0] == run(WITHOUT_NUMBA).strip()
    assert run(FAST, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES="") == native
