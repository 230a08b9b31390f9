// SPDX-License-Identifier: Apache-2.0
/*
 * channels: sets by how many pairs of queues a network interface sends and receives.
 *
 *   channels INTERFACE N        as "ethtool -L INTERFACE combined N"
 *
 * Source: the kernel's include/uapi/linux/ethtool.h, which musl does not bring.
 */
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "workload.h"

#define SIOCETHTOOL	  0x8946
#define ETHTOOL_SCHANNELS 0x3d

struct channels {
	uint32_t cmd, max_rx, max_tx, max_other, max_combined;
	uint32_t rx_count, tx_count, other_count, combined_count;
};

int main(int argc, char **argv)
{
	struct channels channels = {.cmd = ETHTOOL_SCHANNELS};
	struct ifreq request = {.ifr_data = (void *)&channels};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned long n;

	if (argc != 3 || strlen(argv[1]) >= IFNAMSIZ || count_parse(argv[2], 1, &n) || n > 0xffff) {
		fputs("usage: channels INTERFACE N\n", stderr);
		return 2;
	}
	strcpy(request.ifr_name, argv[1]);
	channels.combined_count = (unsigned int)n;
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request) < 0)
		fail("channels", argv[1]);
	return 0;
}
