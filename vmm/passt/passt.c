// SPDX-License-Identifier: Apache-2.0
#include "vmm/passt/passt.h"

#include <stdio.h>

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

static _Noreturn void become(const void *config, const char *path, int socket)
{
	const char *argv[PASST_ARGUMENTS_MAX];
	char fd[16], mtu[16];

	snprintf(fd, sizeof(fd), "%d", socket);
	passt_arguments(config, fd, mtu, argv);
	backend_exec(path, argv, socket);
}

const struct backend_program passt_program = {
	.name = "passt",
	.package = "passt",
	.keeper = "passt-keeper",
	.background = true,
	.become = become,
};
