#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
# coldplug: loads the modules for all devices that the kernel has found: by udev where there is one; else as udev does it,
# and twice, since the first modules bring the bus that other devices are on.
if [ -x /usr/lib/systemd/systemd-udevd ]; then
	/usr/lib/systemd/systemd-udevd --daemon
	udevadm trigger --action=add
	udevadm settle
	exit
fi
for _ in 1 2; do
	find /sys/devices -name modalias -exec cat {} + | sort -u | while read -r alias; do
		modprobe -q "$alias"
	done
done
:
