# SPDX-License-Identifier: MIT
"""minGRU and minLSTM, which PyTorch has not, against rnncore's own calls on arrays."""

import pytest

torch = pytest.importorskip("torch")

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # noqa: E402
from torch_twins import assert_equal  # noqa: E402

import rnncore.torch  # noqa: E402

T, N, I, H = 6, 3, 5, 7  # noqa: E741


@pytest.mark.parametrize("name", ["MinGRU", "MinLSTM"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
def test_scans_have_the_bits_of_arrays(name, bias, dtype):
    """PyTorch has no such layers: they are rnncore's own, values and gradients, ragged, with a state, packed or not."""
    options = {"num_layers": 2, "bidirectional": True, "bias": bias}
    options |= {"activations": {"n": "log_space"}} if name == "MinGRU" else {}
    ours = getattr(rnncore.torch, name)(I, H, dtype=dtype, **options)
    own = getattr(rnncore, name)(I, H, dtype=str(dtype).removeprefix("torch."), **options)
    own.load_state_dict({key: value.numpy() for key, value in ours.state_dict().items()})
    assert [key for key, _ in ours.named_parameters()] == list(own.parameters())
    x, h = torch.randn(T, N, I, dtype=dtype, requires_grad=True), torch.randn(4, N, H, dtype=dtype)
    y, final, tape = own.forward(x.detach().numpy(), h.numpy(), lengths=[6, 2, 4])
    got = ours(x, h, lengths=[6, 2, 4])
    assert_equal(got, [torch.from_numpy(y), torch.from_numpy(final)])
    grads, upstream = own.backward(tape, y, final), (torch.from_numpy(y), torch.from_numpy(final))
    expected = [torch.from_numpy(value) for value in (grads.x, *grads.params.values())]
    assert_equal(torch.autograd.grad(got, [x, *ours.parameters()], upstream, retain_graph=True), expected)
    packed = pack_padded_sequence(x, [6, 2, 4], enforce_sorted=False)
    assert_equal(pad_packed_sequence(ours(packed, h)[0])[0], got[0])
