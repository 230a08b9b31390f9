// SPDX-License-Identifier: Apache-2.0
/* The option for sockets between the guest and programs of the host. */
#include <stdio.h>
#include <string.h>

#include "vmm/config/part.h"
#include "vmm/lib/option_keys.h"

enum { VSOCK, SSH };

static const struct option options[] = {
	{VSOCK, 0, "vsock", "PATH[,cid=N] or vhost=1,cid=N",
	 "connect programs of guest and host by sockets: a\n"
	 "program that connects to the Unix socket PATH and\n"
	 "writes \"CONNECT P\" reaches port P of the guest,\n"
	 "whose programs reach the socket PATH_P as port P\n"
	 "of the host, CID 2; N: the guest's CID [3]; with\n"
	 "vhost=1 the host's kernel does, as AF_VSOCK",
	 false},
	{SSH, 0, "ssh", "FILE",
	 "prepare for \"ebb ssh\": a socket in the runtime\n"
	 "directory, and root of a guest with systemd gets\n"
	 "the public key in FILE [~/.ssh/id_*.pub]",
	 true},
};

enum { CID, VHOST };

static const struct option_key keys[] = {
	{CID, "cid", "N", false},
	{VHOST, "vhost", "1", false},
};

static const struct option_keys by_path = {"vsock", "PATH", keys, sizeof(keys) / sizeof(keys[0])};
static const struct option_keys by_kernel = {"vsock", NULL, keys, sizeof(keys) / sizeof(keys[0])};

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

	if (id == OPTION_WORD)
		return set_path(vsock, value, error);
	if (id == VHOST) {
		vsock->vhost = strcmp(value, "1") == 0;
		return vsock->vhost ? 0
				    : options_fail(error, "the vsock's vhost must be 1, not \"%s\"",
						   value);
	}
	if (options_number(value, &cid, NULL) || cid < VM_VSOCK_CID_MIN || cid > VM_VSOCK_CID_MAX)
		return options_fail(error, "the guest's CID must be %d to %u, not \"%s\"",
				    VM_VSOCK_CID_MIN, VM_VSOCK_CID_MAX, value);
	vsock->cid = (uint32_t)cid;
	return 0;
}

/* A CID that vhost-vsock takes is the guest's alone on the host, so that there is no default. */
static int apply_vhost(struct vm_vsock *vsock, const char *text, struct option_error *error)
{
	vsock->cid = 0;
	int err = option_keys_parse(&by_kernel, text, apply_key, vsock, error);
	if (!err && vsock->cid == 0)
		err = options_fail(error, "--vsock vhost=1 needs a CID that no other guest of this "
					  "host has; add cid=N");
	return err;
}

static int apply_path(struct vm_vsock *vsock, const char *text, struct option_error *error)
{
	int err = option_keys_parse(&by_path, text, apply_key, vsock, error);
	if (!err && vsock->vhost)
		err = options_fail(error,
				   "with vhost=1 programs of the host reach the guest by its "
				   "CID, and --vsock has no path: leave the path out, and "
				   "write vhost=1 first");
	return err;
}

static int apply(void *ctx, int id, const char *value, struct option_error *error)
{
	struct vm_vsock *vsock = &((struct vm_config *)ctx)->vsock;

	vsock->wanted = true;
	if (id == SSH) {
		vsock->login = true;
		return value ? config_file(&vsock->key, "public key", value, error) : 0;
	}
	/* A path of this name is written "./vhost=1". */
	bool vhost = strncmp(value, "vhost=", strlen("vhost=")) == 0;
	return vhost ? apply_vhost(vsock, value, error) : apply_path(vsock, value, error);
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
