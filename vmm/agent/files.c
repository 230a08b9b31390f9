// SPDX-License-Identifier: Apache-2.0
#include "vmm/agent/files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/agent/wire.h"

/* Where each file is in the folder: its own name is the end of that. */
#define AT(path) AGENT_ROOT path

/*
 * What programs of the host's system need to run, and nothing that is somebody's: no /home, no /root, of
 * /etc only what every user may read on every system and programs ask for; no keys, no configuration of
 * services. What a distribution does not have is left out.
 */
static const char *const system_files[] = {
	AT("/usr"),
	/* Links into /usr, or folders of their own. */
	AT("/bin"),
	AT("/sbin"),
	AT("/lib"),
	AT("/lib32"),
	AT("/lib64"),
	AT("/libx32"),
	/* Loading programs. */
	AT("/etc/ld.so.cache"),
	AT("/etc/ld.so.conf"),
	AT("/etc/ld.so.conf.d"),
	AT("/etc/alternatives"),
	/* Names of users, services and protocols; language and time. */
	AT("/etc/passwd"),
	AT("/etc/group"),
	AT("/etc/nsswitch.conf"),
	AT("/etc/services"),
	AT("/etc/protocols"),
	AT("/etc/rpc"),
	AT("/etc/gai.conf"),
	AT("/etc/host.conf"),
	AT("/etc/localtime"),
	AT("/etc/timezone"),
	AT("/etc/locale.alias"),
	AT("/etc/locale.conf"),
	AT("/etc/os-release"),
	AT("/etc/debian_version"),
	AT("/etc/mime.types"),
	AT("/etc/magic"),
	AT("/etc/papersize"),
	/* Shells and interpreters. */
	AT("/etc/bash.bashrc"),
	AT("/etc/inputrc"),
	AT("/etc/perl"),
	AT("/etc/python3"),
	AT("/etc/terminfo"),
	/* Whom to trust; not the keys beside them. */
	AT("/etc/ssl/certs"),
	AT("/etc/ssl/openssl.cnf"),
	AT("/etc/pki/tls/certs"),
	AT("/etc/pki/ca-trust/extracted"),
	AT("/etc/ca-certificates.conf"),
};

#define SYSTEM_FILES (sizeof(system_files) / sizeof(system_files[0]))
_Static_assert(SYSTEM_FILES + FILES_DIRS_MAX + FILES_NESTED_MAX <= FILES_PARTS_MAX,
	       "all parts have a place");

static int add_again(struct files_dir *dir, enum files_access access)
{
	if (access == FILES_LAYERED)
		return 0;
	if (dir->access != FILES_LAYERED && dir->access != access)
		return -EEXIST;
	dir->access = access;
	return 0;
}

int files_add(struct files *files, const char *path, enum files_access access)
{
	char real[PATH_MAX];

	if (!realpath(path, real))
		return -errno;
	if (strcmp(real, "/") == 0)
		return -EISDIR;
	for (unsigned int i = 0; i < files->dirs; i++)
		if (strcmp(files->dir[i].path, real) == 0)
			return add_again(&files->dir[i], access);
	if (files->dirs == FILES_DIRS_MAX)
		return -E2BIG;
	strcpy(files->dir[files->dirs].path, real);
	files->dir[files->dirs++].access = access;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct files_dir *)a)->path, ((const struct files_dir *)b)->path);
}

/* Returns what of @path is below @top, from its slash on; or NULL. */
static const char *below(const char *path, const char *top)
{
	size_t len = strlen(top);
	return strncmp(path, top, len) == 0 && path[len] == '/' ? path + len : NULL;
}

static bool host_keeps(const struct files_dir *dir)
{
	return dir->access != FILES_WRITABLE;
}

/*
 * Adds a folder to the others that it lies in, too. The command is root, and could look below the mount in its guest:
 * the host's own is out of its reach.
 */
static int add_nested(struct files *files, unsigned int number, struct bind **part)
{
	for (unsigned int i = 0; i < number; i++) {
		const char *rest = below(files->dir[number].path, files->dir[i].path);
		char place[PATH_MAX + 32];
		if (!rest)
			continue;
		int len = snprintf(place, sizeof(place), AGENT_DIRS "/%u%s", i, rest);
		if (files->nests == FILES_NESTED_MAX || len >= PATH_MAX)
			return -E2BIG;
		char *at = strcpy(files->nested[files->nests++], place);
		*(*part)++ = (struct bind){.source = files->dir[number].path,
					   .at = at,
					   .read_only = host_keeps(&files->dir[number])};
	}
	return 0;
}

int files_finish(struct files *files)
{
	struct bind *part = files->part;
	int error = 0;

	files->nests = 0;
	for (size_t i = 0; i < SYSTEM_FILES; i++)
		*part++ = (struct bind){.source = system_files[i] + strlen(AGENT_ROOT),
					.at = system_files[i],
					.read_only = true,
					.optional = true};
	qsort(files->dir, files->dirs, sizeof(files->dir[0]), compare);
	for (unsigned int i = 0; i < files->dirs; i++) {
		snprintf(files->at[i], sizeof(files->at[i]), AGENT_DIRS "/%u", i);
		*part++ = (struct bind){.source = files->dir[i].path,
					.at = files->at[i],
					.read_only = host_keeps(&files->dir[i])};
	}
	for (unsigned int i = 0; i < files->dirs && !error; i++)
		error = add_nested(files, i, &part);
	part->source = NULL;
	return error;
}

/* --- kernel and initrd ------------------------------------------------------------------------ */

/* Returns whether both are in @dir. */
static bool look_in(const char *dir, char kernel[PATH_MAX], char initrd[PATH_MAX])
{
	static const char *const kernels[] = {"vmlinux", "Image"};

	if (snprintf(initrd, PATH_MAX, "%s/initramfs.cpio", dir) >= PATH_MAX ||
	    access(initrd, R_OK) < 0)
		return false;
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++)
		if (snprintf(kernel, PATH_MAX, "%s/%s", dir, kernels[i]) < PATH_MAX &&
		    access(kernel, R_OK) == 0)
			return true;
	return false;
}

/* ebb is build/ebb or build/ARCH/ebb, and the guest in build/guest or build/guest/ARCH; or bin/ebb, and lib/ebb. */
int files_find_guest(char kernel[PATH_MAX], char initrd[PATH_MAX])
{
	char own[PATH_MAX], dir[PATH_MAX + 64];
	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (len < 0)
		len = 0;
	own[len] = '\0';
	char *slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	const char *last = strrchr(own, '/');
	snprintf(dir, sizeof(dir), "%s/../lib/ebb", own);
	if (look_in(dir, kernel, initrd))
		return 0;
	snprintf(dir, sizeof(dir), "%s/../guest/%s", own, last ? last + 1 : "");
	if (look_in(dir, kernel, initrd))
		return 0;
	snprintf(dir, sizeof(dir), "%s/guest", own);
	if (look_in(dir, kernel, initrd))
		return 0;
	snprintf(kernel, PATH_MAX, "%.*s", PATH_MAX - 1, dir);
	return -ENOENT;
}
