// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/run_ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/read_all.h"

/*
 * systemd 252 takes text only, and no newline in it. With a comment behind it the key stays whole, even if another key is
 * appended to its line.
 */
#define PARAM	 "systemd.set_credential=\"ssh.authorized_keys.root:%s ebb\""
#define KEY_MAX	 1024 /* bytes of type and key: one of RSA with 4096 bits has 724 */
#define LIMIT_MS 3000 /* the longest that a pipe may take */

static int name_socket(struct vm_vsock *vsock, const struct runtime_name *name)
{
	if (vsock->path[0] || vsock->vhost)
		return 0;
	int error = runtime_vsock_path(name, vsock->path, sizeof(vsock->path));
	if (error)
		log_error("the socket of --ssh would have too long a name, %s…; name a shorter one "
			  "with --vsock PATH",
			  vsock->path);
	return error;
}

/* Reads the beginning of a file or pipe, as text. Returns 0 or -errno. */
static int read_beginning(const char *file, char *text, size_t size)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = fd < 0 ? -errno : read_all(fd, text, size - 1, LIMIT_MS);

	if (fd >= 0)
		close(fd);
	text[len < 0 ? 0 : len] = '\0';
	return len < 0 ? (int)len : 0;
}

/*
 * Cuts @text to a key's type, a space and the key itself, of characters that mean nothing to kernel or systemd. Returns
 * whether there is one.
 */
static bool cut_key(char *text)
{
	static const char in_type[] = "0123456789-.@abcdefghijklmnopqrstuvwxyz";
	static const char in_key[] =
		"+/0123456789=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t type = strspn(text, in_type);
	size_t len = text[type] == ' ' ? strspn(text + type + 1, in_key) : 0;
	char *end = text + type + 1 + len;

	if (!type || !len || text[0] == '-')
		return false;
	/* At the very end, there may be more of it in the file. */
	bool whole = *end ? strchr(" \r\n", *end) != NULL : end - text < KEY_MAX - 1;
	*end = '\0';
	return whole;
}

static int add_key(struct vm_boot *boot, const char *file)
{
	char key[KEY_MAX], param[sizeof(PARAM) + KEY_MAX];

	int error = read_beginning(file, key, sizeof(key));
	if (error) {
		log_error("cannot read the public key %s: %s", file,
			  error == -ETIMEDOUT ? "it does not come to an end"
			  : error == -EINTR   ? "a signal came"
					      : strerror(-error));
		return error;
	}
	if (!cut_key(key)) {
		log_error(
			"%s is not a public key of OpenSSH, one line of less than %d bytes; name a .pub "
			"file with --ssh=FILE",
			file, KEY_MAX);
		return -EINVAL;
	}
	snprintf(param, sizeof(param), PARAM, key);
	if (config_params_before(boot, param))
		return 0;
	log_error("the kernel parameters are too long beside the public key; write fewer");
	return -E2BIG;
}

/* Finds the shortest of the keys that ssh uses by itself. Returns whether there is one. */
static bool find_key(char *file, size_t size)
{
	static const char *const kinds[] = {"ed25519", "ecdsa", "rsa", "ed25519_sk", "ecdsa_sk"};
	const char *home = getenv("HOME");

	for (size_t i = 0; home && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int len = snprintf(file, size, "%s/.ssh/id_%s.pub", home, kinds[i]);
		if ((size_t)len < size && access(file, R_OK) == 0)
			return true;
	}
	return false;
}

int run_ssh_prepare(struct vm_config *config, const struct runtime_name *name)
{
	const struct vm_vsock *vsock = &config->vsock;
	char own[PATH_MAX];

	if (!vsock->login)
		return 0;
	int error = name_socket(&config->vsock, name);
	/* A guest that goes on has read its parameters. */
	if (error || config->boot.restore)
		return error;
	if (vsock->key || find_key(own, sizeof(own)))
		return add_key(&config->boot, vsock->key ? vsock->key : own);
	log_warn(
		"--ssh finds no public key in ~/.ssh (id_ed25519.pub, id_rsa.pub, …), so the guest's "
		"root gets none; --ssh=FILE names one");
	return 0;
}
