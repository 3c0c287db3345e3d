#!/bin/sh
# The network, the loss and every gradient against PyTorch with the same weights and images.
# In: python3 with torch and h5py, skipped without. Out: ok / not ok / skip lines.
. "$(dirname "$0")/common.sh"
python=
for candidate in /usr/bin/python3 python3; do
    if "$candidate" -c 'import torch, h5py' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    skip "PyTorch agrees" "python3 has no torch and h5py"
    exit 0
fi
check "PyTorch agrees with the host" "$python" "$root/tests/end_to_end/torch_parity.py" "$anlage" "$work" --device host
check "PyTorch agrees with the reference" "$python" "$root/tests/end_to_end/torch_parity.py" "$anlage" "$work" --precise
if have_vulkan; then
    check "PyTorch agrees with Vulkan" "$python" "$root/tests/end_to_end/torch_parity.py" "$anlage" "$work" --device vulkan
else
    skip "PyTorch agrees with Vulkan" "no Vulkan device"
fi
exit $((failures > 0))
