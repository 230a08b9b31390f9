// SPDX-License-Identifier: Apache-2.0
/* The command line of passt. Pure. */
#include <stdio.h>

#include "vmm/passt/passt.h"

void passt_arguments(const struct passt_config *config, const char *fd, char *mtu,
		     const char *argv[PASST_ARGUMENTS_MAX])
{
	unsigned int n = 0;

	argv[n++] = "passt";
	argv[n++] = "--quiet";
	argv[n++] = "--fd"; /* passt ends when the socket is closed */
	argv[n++] = fd;
	if (config->mtu) {
		sprintf(mtu, "%u", config->mtu);
		argv[n++] = "--mtu";
		argv[n++] = mtu;
	}
	for (unsigned int i = 0; i < config->forwards; i++) {
		argv[n++] = config->forward[i].udp ? "-u" : "-t";
		argv[n++] = config->forward[i].ports;
	}
	argv[n] = NULL;
}
