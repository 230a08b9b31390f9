// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/read_only.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/options.h"
#include "vmm/lib/socket_file.h"
#include "vmm/lib/unix_address.h"

/* --- ebb's side ------------------------------------------------------------------------------ */

/*
 * Not by the C library's other sources: some keep a connection open (sssd's), which would be ebb's in the sandbox. A group
 * of theirs has a number.
 */
static bool find_name(const char *name, gid_t *group)
{
	FILE *file = fopen("/etc/group", "re");
	const struct group *entry = NULL;

	while (file && (entry = fgetgrent(file)) && strcmp(entry->gr_name, name) != 0)
		;
	if (entry)
		*group = entry->gr_gid;
	if (file)
		fclose(file);
	return entry != NULL;
}

/* Returns 0, or -errno after an error message. */
static int find_group(const char *name, gid_t *group)
{
	uint64_t number;
	*group = CONTROL_NO_GROUP;
	if (!*name)
		return 0;
	if (!find_name(name, group) && options_number(name, &number, NULL) == 0 &&
	    number < CONTROL_NO_GROUP)
		*group = (gid_t)number;
	if (*group != CONTROL_NO_GROUP)
		return 0;
	log_error("the group \"%s\" of --control-read-only is not in /etc/group; give its number",
		  name);
	return -ENOENT;
}

static void say_why(const char *path, const char *group, int error)
{
	if (error == -EADDRINUSE)
		log_error("cannot use %s for --control-read-only: a program listens there; name "
			  "another path",
			  path);
	else if (error == -ENOTSOCK)
		log_error("cannot use %s for --control-read-only: it exists and is not a socket; "
			  "name another path",
			  path);
	else if (error == -EPERM && *group)
		log_error("cannot give %s to the group %s: you are not a member of it; name "
			  "another group, or none",
			  path, group);
	else
		log_error("cannot make the socket %s for --control-read-only: %s; name a path in "
			  "a directory of yours",
			  path, strerror(-error));
}

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* since Linux 6.16; asm-generic/socket.h */
#endif

/*
 * No descriptor comes through this door: whoever closes the last one waits as long as its file likes, a socket with
 * SO_LINGER or a file on FUSE. Connections inherit this from the listener, even before they are accepted. An older
 * kernel cannot do it: docs/limits.md.
 */
static void refuse_descriptors(int listener)
{
	const int off = 0;
	setsockopt(listener, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

/* The process: it reads nothing but the end of ebb's side. */
static void remove_later(const void *file, int control)
{
	sigset_t none;
	char byte;

	sigemptyset(&none);
	child_begin("socket-remover", control, &none, false);
	while (recv(CHILD_CONTROL, &byte, 1, 0) < 0 && errno == EINTR)
		;
	socket_file_remove(file);
}

int read_only_listen(struct read_only *only, const char *path, const char *group,
		     struct control_door *door)
{
	struct socket_file file = {.path = path};
	gid_t gid;

	*only = READ_ONLY_NONE;
	int error = find_group(group, &gid);
	if (error)
		return error;
	int listener = socket_file_listen(&file, gid);
	if (listener < 0) {
		say_why(path, group, listener);
		return listener;
	}
	refuse_descriptors(listener);
	only->file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	error = only->file < 0 ? -errno : child_start(&only->remover, remove_later, &file);
	if (error) {
		log_error("cannot serve the socket %s: %s", path, strerror(-error));
		close(listener);
		socket_file_remove(&file);
		read_only_release(only);
		return error;
	}
	*door = (struct control_door){listener, only->file, gid, true};
	return 0;
}

void read_only_release(struct read_only *only)
{
	child_stop(&only->remover);
	if (only->file >= 0)
		close(only->file);
	only->file = -1;
}

/* --- a client's side ------------------------------------------------------------------------- */

int read_only_connect(const char *path)
{
	struct sockaddr_un address;
	int error = unix_address(&address, "%s", path);
	return error ? error : unix_connect(&address);
}
