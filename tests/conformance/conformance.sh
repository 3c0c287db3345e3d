#!/bin/sh
# Every operation on every device of this machine; options go to the program (--long, --host, --device vulkan:N, --only GROUP).
# In: $BUILD (a build folder, default build/). Out: lines `ok NAME`, `not ok NAME: why`, `skip NAME why`; exit status 1 if any failed.
set -u
exec "${BUILD:-$(dirname "$0")/../../build}/tests/conformance/conformance" "$@"
