#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ebb-idle SECONDS: does nothing for SECONDS.
set -euo pipefail
# shellcheck source=guest/jobs/lib.sh
. /usr/lib/ebb/lib

if [ $# != 1 ] || ! number "$1"; then
	echo 'usage: ebb-idle SECONDS' >&2
	exit 2
fi
quiet idle "$1"
ok
