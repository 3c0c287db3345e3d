"""One loss and all its gradients by PyTorch (float64) and by anlage, from the same weights and images.

In: the executable, a folder to work in, further arguments of `anlage run` (--device D, --precise). Out: the largest
differences; exit status 1 where the loss differs by 1e-5, half of the gradients by more than 1e-4 of their largest element, or one by 0.2: rounding
may put a value on the other side of a rectifier's or a maximum's edge, and that shows in the few gradients behind it."""
import os
import subprocess
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F

anlage, work, extra = sys.argv[1], sys.argv[2], sys.argv[3:]
spec = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'parity.yaml')
weights, feeds, out = (os.path.join(work, n) for n in ('weights.h5', 'feeds.h5', 'out.h5'))
subprocess.check_call([anlage, 'run', spec, '--init-weights', weights, '--device', 'host'])
rng = np.random.default_rng(1)
images = {'global': rng.random((8, 2, 1, 64, 64), np.float32), 'local': rng.random((8, 4, 1, 32, 32), np.float32)}
with h5py.File(feeds, 'w') as f:
    for name, value in images.items():
        f[name] = value
with h5py.File(weights) as f:
    p = {n: torch.tensor(d[()], dtype=torch.float64, requires_grad=True) for n, d in f['weights'].items()}
subprocess.check_call([anlage, 'run', spec, '--weights', weights, '--out', out, '--fetch', ','.join(['loss'] + [f'gradient({n})' for n in p])]
                      + [a for n in images for a in ('--feed', f'{n}={feeds}:/{n}')] + extra)


def norm(x, name):
    over = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    mean, var = x.mean(over, keepdim=True), x.var(over, unbiased=False, keepdim=True)
    return (x - mean) / torch.sqrt(var + 1e-5) * p[name + '.weight'].view(shape) + p[name + '.bias'].view(shape)


def conv(x, name, stride=1):
    w = p[name + '.weight']
    return F.conv2d(x, w, stride=stride, padding=w.shape[-1] // 2)


def encoder(x):
    x = F.max_pool2d(F.relu(norm(conv(x, 'encoder.conv1', 2), 'encoder.bn1')), 3, 2, 1)
    for layer in range(1, 5):
        for block in range(2):
            name, stride = f'encoder.layer{layer}.{block}.', 2 if layer > 1 and block == 0 else 1
            y = F.relu(norm(conv(x, name + 'conv1', stride), name + 'bn1'))
            y = norm(conv(y, name + 'conv2'), name + 'bn2')
            x = F.relu(y + (norm(conv(x, name + 'downsample.0', stride), name + 'downsample.1') if stride > 1 else x))
    return x.mean((2, 3))


def linear(x, name):
    return F.linear(x, p[name + '.weight'], p[name + '.bias'])


views = [torch.tensor(v, dtype=torch.float64).transpose(0, 1).flatten(0, 1) for v in images.values()]
z = torch.cat([encoder(v) for v in views])
z = linear(F.relu(norm(linear(z, 'projector.linear1'), 'projector.bn1')), 'projector.linear2')
scores = F.linear(F.normalize(z, dim=1), p['prototypes.weight']).view(6, 8, -1)
loss = 0
for v in range(2):
    q = torch.exp((scores[v].detach() - scores[v].detach().max()) / 0.05)
    for _ in range(3):
        q = q / q.sum(0, keepdim=True)
        q = q / q.sum(1, keepdim=True)
    others = [k for k in range(6) if k != v]
    loss = loss - (q * F.log_softmax(scores[others] / 0.1, dim=2)).sum(2).mean() / 2
loss.backward()

bad = False
with h5py.File(out) as f:
    print('loss', float(f['loss'][()]), loss.item())
    bad |= abs(float(f['loss'][()]) - loss.item()) > 1e-5 * loss.item()
    differences = []
    for n, w in p.items():
        theirs, ours = w.grad.numpy(), f[f'gradient({n})'][()]
        largest = abs(theirs).max()
        # The bias in front of a normalisation has the gradient 0; only noise is there to compare.
        difference = abs(ours - theirs).max() / (largest if largest > 1e-9 else 1)
        differences.append(difference)
        if ours.shape != theirs.shape or difference > 0.2:
            print(n, ours.shape, theirs.shape, difference)
            bad = True
    median = sorted(differences)[len(differences) // 2]
    print(len(p), 'gradients, relative difference: median', median, 'largest', max(differences))
    bad |= median > 1e-4
sys.exit(int(bad))
