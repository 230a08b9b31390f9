// SPDX-License-Identifier: Apache-2.0
/*
 * The command lines of the two virtiofsd. Pure.
 *
 * Both confine themselves: to namespaces with nothing but the folder, to the capabilities of a file
 * server, to a filter for system calls. ebb says so by name, so that no default can change it.
 * Source: virtiofsd(1) of QEMU 7.2; the README of virtiofsd 1.13.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/virtiofsd/virtiofsd.h"

enum virtiofsd_kind virtiofsd_kind_of(const char *help)
{
	if (!strstr(help, "--shared-dir"))
		return VIRTIOFSD_C;
	return strstr(help, "--no-announce-submounts") ? VIRTIOFSD_RUST_ANNOUNCES : VIRTIOFSD_RUST;
}

static void add(struct virtiofsd_arguments *arguments, unsigned int *n, const char *first,
		const char *second)
{
	arguments->argv[(*n)++] = first;
	if (second)
		arguments->argv[(*n)++] = second;
}

void virtiofsd_arguments(struct virtiofsd_arguments *arguments, enum virtiofsd_kind kind,
			 const struct virtiofsd_config *config, int fd, bool limited)
{
	unsigned int n = 0;

	snprintf(arguments->fd, sizeof(arguments->fd), "--fd=%d", fd);
	add(arguments, &n, "virtiofsd", arguments->fd);
	if (limited)
		add(arguments, &n, "--rlimit-nofile=0", NULL);
	/* A place that the guest is to mount by itself can have no overlayfs over it. */
	if (kind == VIRTIOFSD_RUST_ANNOUNCES)
		add(arguments, &n, "--no-announce-submounts", NULL);
	if (kind != VIRTIOFSD_C) {
		add(arguments, &n, "--shared-dir", config->dir);
		add(arguments, &n, "--sandbox=namespace", "--seccomp=kill");
		add(arguments, &n, "--log-level=error", NULL);
	} else {
		/* A comma would begin another option: a backslash before it does not. */
		size_t len = 0;
		len += (size_t)snprintf(arguments->source, sizeof(arguments->source), "source=");
		for (const char *c = config->dir; *c && len + 3 < sizeof(arguments->source); c++) {
			if (*c == ',' || *c == '\\')
				arguments->source[len++] = '\\';
			arguments->source[len++] = *c;
		}
		arguments->source[len] = '\0';
		add(arguments, &n, "-f", NULL);
		add(arguments, &n, "-o", arguments->source);
		add(arguments, &n, "-o", "sandbox=namespace");
		add(arguments, &n, "-o", "log_level=err");
	}
	arguments->argv[n] = NULL;
}
