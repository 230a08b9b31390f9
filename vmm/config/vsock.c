// SPDX-License-Identifier: Apache-2.0
/* The option for sockets between the guest and programs of the host. */
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

enum { VSOCK, SSH };

static const struct option options[] = {
	{VSOCK, 0, "vsock", "PATH[,cid=N]",
	 "connect programs of guest and host by sockets: a\n"
	 "program that connects to the Unix socket PATH and\n"
	 "writes \"CONNECT P\" reaches port P of the guest,\n"
	 "whose programs reach the socket PATH_P as port P\n"
	 "of the host, CID 2; N: the guest's CID [3]",
	 false},
	{SSH, 0, "ssh", "FILE",
	 "prepare for \"ebb ssh\": a socket in the runtime\n"
	 "directory, and root of a guest with systemd gets\n"
	 "the public key in FILE [~/.ssh/id_*.pub]",
	 true},
};

enum { CID };

static const struct option_key keys[] = {
	{CID, "cid", "N", false},
};

static const struct option_keys vsock_keys = {"vsock", "PATH", keys,
					      sizeof(keys) / sizeof(keys[0])};

static int set_path(struct vm_vsock *vsock, const char *path, struct option_error *error)
{
	if (!*path)
		return options_fail(error, "the path of --vsock is empty; name the socket to make");
	if (strlen(path) > VM_VSOCK_PATH_MAX)
		return options_fail(
			error, "the path of --vsock has %zu bytes; a socket's can have %d: \"%s\"",
			strlen(path), VM_VSOCK_PATH_MAX, path);
	snprintf(vsock->path, sizeof(vsock->path), "%s", path);
	return 0;
}

static int apply_key(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_vsock *vsock = ctx;
	uint64_t cid;

	if (id != CID)
		return set_path(vsock, value, error);
	if (options_number(value, &cid, NULL) || cid < VM_VSOCK_CID_MIN || cid > VM_VSOCK_CID_MAX)
		return options_fail(error, "the guest's CID must be %d to %u, not \"%s\"",
				    VM_VSOCK_CID_MIN, VM_VSOCK_CID_MAX, value);
	vsock->cid = (uint32_t)cid;
	return 0;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_vsock *vsock = &((struct vm_config *)ctx)->vsock;

	vsock->wanted = true;
	if (id == SSH) {
		vsock->login = true;
		return value ? config_file(&vsock->key, "public key", value, error) : 0;
	}
	return option_keys_parse(&vsock_keys, value, apply_key, vsock, error);
}

static void defaults(void *ctx)
{
	((struct vm_config *)ctx)->vsock.cid = VM_VSOCK_CID_MIN;
}

const struct option_group config_vsock = {
	.option = options,
	.options = sizeof(options) / sizeof(options[0]),
	.apply = apply,
	.defaults = defaults,
};
