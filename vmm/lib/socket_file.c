// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/socket_file.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/unix_address.h"

#define BACKLOG 128

/* Removes a socket that a guest left behind. Returns 0; -EADDRINUSE if another one listens there; or -ENOTSOCK. */
static int make_way(int fd, const struct sockaddr_un *address)
{
	struct stat there;

	if (lstat(address->sun_path, &there) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(there.st_mode))
		return -ENOTSOCK;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? -errno : fd;
}

static int look(const struct sockaddr_un *address)
{
	int fd = new_socket();
	int error = fd < 0 ? fd : make_way(fd, address);

	if (fd >= 0)
		close(fd);
	return error;
}

/* bind() makes the file with the socket's mode less the umask: it is never open to others. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
	mode_t before = umask(0);
	int error = 0;

	if (fchmod(fd, mode) < 0 ||
	    bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		error = -errno;
	umask(before);
	return error;
}

static int bind_file(int fd, const struct sockaddr_un *address, struct socket_file *file,
		     gid_t group)
{
	struct stat made;
	int error = bind_with_mode(fd, address, group == SOCKET_FILE_NO_GROUP ? 0600 : 0660);

	if (error)
		return error;
	/* Nobody can connect before listen(). */
	if (lchown(file->path, (uid_t)-1, group) < 0 || lstat(file->path, &made) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		error = -errno;
		unlink(file->path);
		return error;
	}
	file->device = made.st_dev;
	file->inode = made.st_ino;
	return 0;
}

int socket_file_listen(struct socket_file *file, gid_t group)
{
	struct sockaddr_un address;
	int error = unix_address(&address, "%s", file->path);

	if (!error)
		error = look(&address);
	int fd = error ? error : new_socket();
	if (fd < 0)
		return fd;
	error = bind_file(fd, &address, file, group);
	if (!error)
		return fd;
	close(fd);
	return error;
}

void socket_file_remove(const struct socket_file *file)
{
	struct stat now;

	if (lstat(file->path, &now) == 0 && now.st_dev == file->device && now.st_ino == file->inode)
		unlink(file->path);
}
