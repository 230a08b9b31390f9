// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/lib/log.h"
#include "vmm/lib/unix_address.h"

/* A try fails only if a guest of that name ended at that moment. */
#define CLAIM_TRIES 1000
/* Milliseconds to wait for a process that holds the directory's lock. */
#define PEACE_TRIES 2000
#define BACKLOG	    16

/* The name of a file in the directory. */
struct file_name {
	char text[VM_NAME_MAX + sizeof(".lock")];
};

/* What is no guest, but has a name and a socket among them. */
static bool is_service(const char *guest)
{
	return *guest == '/';
}

/* NULL, or what is wrong with a name. Of a service's the "/" is no part. */
static const char *name_error(const char *guest, const char *(*wrong)(const char *name))
{
	return wrong(guest + is_service(guest));
}

/* Does not use snprintf(): a signal handler releases a name, too. */
static struct file_name file_name(const char *guest, const char suffix[sizeof(".lock")])
{
	struct file_name name;
	bool service = is_service(guest);
	guest += service;
	size_t len = strnlen(guest, VM_NAME_MAX);
	memcpy(name.text, guest, len);
	memcpy(name.text + len, suffix, sizeof(".lock"));
	if (service)
		name.text[len] = '-';
	return name;
}

static struct file_name lock_name(const char *guest)
{
	return file_name(guest, ".lock");
}

/* The suffixes of a guest's sockets. */
#define CONTROL ".sock"
#define CONSOLE ".cons"
#define VSOCK	".vsck"

static bool has_socket(int directory, const char *guest, const char *suffix)
{
	struct file_name file = file_name(guest, suffix);
	return faccessat(directory, file.text, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* --- the directory ------------------------------------------------------------------------- */

/*
 * Whether @path is as the XDG Base Directory Specification requires of $XDG_RUNTIME_DIR: absolute,
 * owned by the user, mode 0700. Root with a user's variable must not make directories there: the
 * user could never use them.
 */
static bool is_session_directory(const char *path)
{
	struct stat st;
	return path && path[0] == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid() && (st.st_mode & 0777) == 0700;
}

static int directory_path(char *path, size_t size)
{
	const char *ours = getenv("EBB_RUNTIME_DIR");
	const char *session = getenv("XDG_RUNTIME_DIR");
	int len;
	if (ours && *ours)
		len = snprintf(path, size, "%s", ours);
	else if (is_session_directory(session))
		len = snprintf(path, size, "%s/ebb", session);
	else if (geteuid() == 0)
		len = snprintf(path, size, "/run/ebb");
	else
		len = snprintf(path, size, "/tmp/ebb-%u", geteuid());
	return (size_t)len < size ? 0 : -ENAMETOOLONG;
}

/* Another user who owned the parent could replace a directory that is made there. */
static bool may_make_in(const char *parent)
{
	struct stat st;
	return stat(parent, &st) == 0 && (st.st_uid == geteuid() || st.st_uid == 0);
}

/* Makes the directory and its parents; does not change those that exist. */
static int make_directory(const char *path)
{
	char part[PATH_MAX], parent[PATH_MAX];
	struct stat st;
	snprintf(parent, sizeof(parent), "%s", path[0] == '/' ? "/" : ".");
	for (size_t i = 1; path[i - 1]; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (lstat(part, &st) < 0 && errno == ENOENT && !may_make_in(parent))
			return -EPERM;
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return -errno;
		memcpy(parent, part, i + 1);
	}
	return 0;
}

/* Warns, when a guest starts, that its name is not in the directory that its user may expect. */
static void say_fallback(const char *path)
{
	const char *ours = getenv("EBB_RUNTIME_DIR");
	const char *session = getenv("XDG_RUNTIME_DIR");
	if ((!ours || !*ours) && session && *session && !is_session_directory(session))
		log_warn(
			"XDG_RUNTIME_DIR is not a directory of this user with mode 0700; using %s for the guests' names instead",
			path);
}

/* Checks the open directory, which cannot be replaced after the check as a path can. */
static int check_directory(int fd, const char *path)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid()) {
		log_error("%s belongs to user %u; set EBB_RUNTIME_DIR to a directory of your own",
			  path, st.st_uid);
		return -EACCES;
	}
	if (st.st_mode & 077) {
		log_error("%s is open to other users; chmod 700 it, or set EBB_RUNTIME_DIR to "
			  "another directory",
			  path);
		return -EACCES;
	}
	return 0;
}

/* What users call it, who do not see the tree of a process that has one of its own. */
static void show_path(char *path, size_t size)
{
	const char *here = getenv("EBB_RUNTIME_DIR"), *shown = getenv(RUNTIME_SHOWN);

	if (shown && here && *here)
		snprintf(path, size, "%s", shown);
}

/*
 * Returns the directory's file descriptor, or -errno after an error message. If @make is false it
 * does not make the directory, and returns -ENOENT, without a message, if there is none. @path is for
 * messages, and of one that was made.
 */
static int open_directory(char *path, size_t size, bool make)
{
	int err = directory_path(path, size);
	if (!err && make)
		err = make_directory(path);
	int fd = -1;
	if (!err) {
		fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
	}
	/* Of what makes names there are paths: another process's variable is none. */
	if (!make)
		show_path(path, size);
	if (err == -ENOENT && !make)
		return err;
	if (err) {
		/* The path comes last: it may be longer than a line. */
		log_error(
			"cannot use the directory of the guests' names: %s; set EBB_RUNTIME_DIR to a directory other than %s",
			strerror(-err), path);
		return err;
	}
	err = check_directory(fd, path);
	if (err) {
		close(fd);
		return err;
	}
	if (make)
		say_fallback(path);
	return fd;
}

/*
 * A command tries a guest's lock to see whether the guest lives, and holds it while it removes the
 * files of a dead one. A guest that claims the name at that moment must not take the command for a
 * living guest: so both hold the directory's lock for a moment. The name's own lock keeps two
 * guests apart, so it is safe to go on if the wait times out (because a stopped process holds it).
 */
static void lock_directory(int directory)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	for (int i = 0; i < PEACE_TRIES && flock(directory, LOCK_EX | LOCK_NB) < 0; i++)
		nanosleep(&moment, NULL);
}

static void unlock_directory(int directory)
{
	flock(directory, LOCK_UN);
}

/* --- names --------------------------------------------------------------------------------- */

/*
 * Opens and locks the name's file, and makes sure that it is still the one in the directory.
 * @create is O_CREAT or 0. Returns a file descriptor, for reading, or -errno: a lock needs no more, and nobody who takes over
 * a guest's ebb or the keeper shall write a PID there that a command takes for the guest's.
 */
static int lock_file(int directory, const char *file, int create)
{
	for (int i = 0; i < CLAIM_TRIES; i++) {
		struct stat locked;
		struct stat named;
		int fd = openat(directory, file, O_RDONLY | create | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			int err = -errno;
			close(fd);
			return err;
		}
		/* The file's owner may have ended and removed it between open and lock. */
		if (fstat(fd, &locked) == 0 &&
		    fstatat(directory, file, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		    locked.st_ino == named.st_ino && locked.st_dev == named.st_dev)
			return fd;
		close(fd);
	}
	return -EWOULDBLOCK;
}

static pid_t read_pid(int directory, const char *file)
{
	char text[16] = "";
	int fd = openat(directory, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	return len > 0 ? strtol(text, NULL, 10) : 0;
}

static void say_busy(int directory, const char *file, const char *guest)
{
	pid_t pid = read_pid(directory, file);
	if (is_service(guest)) {
		log_error("a %s of this user runs already: process %d", guest + 1, pid);
		return;
	}
	/* The owner may have locked the file just now and not have written its PID yet. */
	if (pid > 0)
		log_error("the name \"%s\" is in use by process %d; choose another with --name",
			  guest, pid);
	else
		log_error("the name \"%s\" is in use; choose another with --name", guest);
}

/*
 * By the XDG Base Directory Specification, the sticky bit protects a file in the runtime directory
 * from clean-up of old files. If the lock file were removed, another guest could take the name.
 */
static int write_pid(const struct runtime_name *name, const char *file)
{
	if (fchmod(name->fd, 0600 | S_ISVTX) < 0)
		return -errno;
	int fd = openat(name->directory, file, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = dprintf(fd, "%d\n", getpid()) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int runtime_claim(struct runtime_name *name, const char *guest)
{
	char path[PATH_MAX];
	*name = (struct runtime_name){.directory = -1, .fd = -1};

	const char *wrong = name_error(guest, vm_name_error);
	if (wrong) {
		log_error("the name \"%s\" %s; choose another with --name", guest, wrong);
		return -EINVAL;
	}
	name->directory = open_directory(path, sizeof(path), true);
	if (name->directory < 0)
		return name->directory;

	int err = 0;
	struct file_name file = lock_name(guest);
	snprintf(name->guest, sizeof(name->guest), "%s", guest);
	if ((size_t)snprintf(name->path, sizeof(name->path), "%s/%s", path, file.text) >=
	    sizeof(name->path)) {
		err = -ENAMETOOLONG;
		goto out;
	}
	lock_directory(name->directory);
	name->fd = lock_file(name->directory, file.text, O_CREAT);
	unlock_directory(name->directory);
	err = name->fd < 0 ? name->fd : write_pid(name, file.text);
out:
	if (err == -EWOULDBLOCK) {
		say_busy(name->directory, file.text, guest);
		err = -EBUSY;
	} else if (err) {
		log_error("cannot store the name \"%s\" in %s: %s", guest, path, strerror(-err));
	}
	if (err)
		runtime_release(name);
	return err;
}

/* Called with the name's lock: a rival still waits for it, or will make files of its own. */
static void remove_files(int directory, const char *guest)
{
	const struct file_name files[] = {file_name(guest, CONTROL), file_name(guest, CONSOLE),
					  file_name(guest, VSOCK), lock_name(guest)};
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlinkat(directory, files[i].text, 0);
}

void runtime_release(struct runtime_name *name)
{
	if (name->fd >= 0) {
		remove_files(name->directory, name->guest);
		close(name->fd);
	}
	if (name->directory >= 0)
		close(name->directory);
	name->fd = -1;
	name->directory = -1;
}

/* --- sockets ------------------------------------------------------------------------------- */

/* The address of a socket for bind() and connect(); avoids a path that is too long. */
static int socket_address(struct sockaddr_un *address, int directory, struct file_name file)
{
	char path[PATH_MAX];
	if (directory_path(path, sizeof(path)) == 0 &&
	    unix_address(address, "%s/%s", path, file.text) == 0)
		return 0;
	return unix_address(address, "/proc/self/fd/%d/%s", directory, file.text);
}

/* bind() makes the file with the socket's mode less the umask: it is never open to other users. */
static int bind_private(int fd, int directory, struct file_name file)
{
	struct sockaddr_un address;
	int err = socket_address(&address, directory, file);
	if (err)
		return err;
	if (unlinkat(directory, file.text, 0) < 0 && errno != ENOENT)
		return -errno;
	if (fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	/* Restore the bits that the umask removed; no client can connect before listen(). */
	if (fchmodat(directory, file.text, 0600, 0) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return 0;
}

static int listen_as(struct runtime_name *name, const char *suffix)
{
	struct file_name file = file_name(name->guest, suffix);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err = fd < 0 ? -errno : bind_private(fd, name->directory, file);
	if (!err)
		return fd;
	/* The path comes last: it may be longer than a line. */
	log_error(
		"cannot make the control socket of \"%s\": %s; set EBB_RUNTIME_DIR to a directory other than that of %s",
		name->guest, strerror(-err), name->path);
	if (fd >= 0)
		close(fd);
	return err;
}

int runtime_listen(struct runtime_name *name)
{
	return listen_as(name, CONTROL);
}

int runtime_listen_console(struct runtime_name *name)
{
	return listen_as(name, CONSOLE);
}

int runtime_vsock_path(const struct runtime_name *name, char *path, size_t size)
{
	/* name->path ends with ".lock". */
	int stem = (int)(strlen(name->path) - strlen(VSOCK));
	int len = snprintf(path, size, "%.*s%s", stem, name->path, VSOCK);
	return (size_t)len < size ? 0 : -ENAMETOOLONG;
}

/* Returns whether @guest lives; if not, removes its files. Called with the directory's lock. */
static bool look_after(int directory, const char *guest)
{
	struct file_name file = lock_name(guest);
	/* A socket without a lock file is removed under a lock, too. */
	bool left = has_socket(directory, guest, CONTROL) || has_socket(directory, guest, CONSOLE);
	int fd = lock_file(directory, file.text, left ? O_CREAT : 0);
	/* After an error of our own, such as too many open files, assume that the guest lives. */
	if (fd < 0)
		return fd != -ENOENT;
	remove_files(directory, guest);
	close(fd);
	return false;
}

/* Returns the socket, or -errno: -EAGAIN if the guest's backlog is full. */
static int connect_in(int directory, struct file_name file)
{
	struct sockaddr_un address;
	int err = socket_address(&address, directory, file);
	if (err)
		return err;
	int fd = unix_connect(&address);
	return fd == -ENOENT ? -ECONNREFUSED : fd;
}

/* If a guest's socket refuses: returns -ECONNREFUSED if the guest lives, -ENOENT if not. */
static int why_refused(int directory, const char *guest)
{
	/* While another process holds the lock, this is unknown; see lock_directory(). */
	if (flock(directory, LOCK_EX | LOCK_NB) < 0)
		return -EAGAIN;
	bool lives = look_after(directory, guest);
	unlock_directory(directory);
	return lives ? -ECONNREFUSED : -ENOENT;
}

static int connect_as(const char *guest, const char *suffix)
{
	char path[PATH_MAX];
	if (name_error(guest, vm_name_lookup_error))
		return -EINVAL;
	int directory = open_directory(path, sizeof(path), false);
	if (directory < 0)
		return directory;
	int fd = connect_in(directory, file_name(guest, suffix));
	if (fd == -ECONNREFUSED)
		fd = why_refused(directory, guest);
	else if (fd < 0 && fd != -EAGAIN)
		log_error("cannot connect to the guest \"%s\": %s", guest, strerror(-fd));
	close(directory);
	return fd;
}

int runtime_connect(const char *guest)
{
	return connect_as(guest, CONTROL);
}

int runtime_connect_console(const char *guest)
{
	return connect_as(guest, CONSOLE);
}

/* --- the list ------------------------------------------------------------------------------ */

static bool is_known_service(const char *guest)
{
	return strcmp(guest, RUNTIME_KEEPER) == 0 ||
	       strncmp(guest, RUNTIME_POOL, strlen(RUNTIME_POOL)) == 0;
}

/* Sets @guest to the name of the guest or service that @file belongs to. Returns false if there is none. */
static bool guest_of(const char *file, char guest[VM_NAME_MAX + 1])
{
	const size_t suffix = sizeof(".lock") - 1;
	size_t len = strlen(file);
	if (len <= suffix || len - suffix > VM_NAME_MAX)
		return false;
	len -= suffix;
	bool service = file[len] == '-';
	const char *kind = file + len + 1;
	if ((!service && file[len] != '.') || len + service > VM_NAME_MAX ||
	    (strcmp(kind, "lock") != 0 && strcmp(kind, CONTROL + 1) != 0 &&
	     strcmp(kind, CONSOLE + 1) != 0))
		return false;
	guest[0] = '/';
	memcpy(guest + service, file, len);
	guest[len + service] = '\0';
	return service ? is_known_service(guest) : !vm_name_lookup_error(guest);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct runtime_guest *)a)->name,
		      ((const struct runtime_guest *)b)->name);
}

/* Reads the names of all files, some twice. Checks none: that would change the directory. */
static ssize_t read_names(DIR *stream, struct runtime_guest **guests)
{
	size_t count = 0;
	size_t room = 0;
	char name[VM_NAME_MAX + 1];
	errno = 0;
	for (struct dirent *entry; (entry = readdir(stream));) {
		if (!guest_of(entry->d_name, name))
			continue;
		if (count == room) {
			room = room ? 2 * room : 16;
			void *more = reallocarray(*guests, room, sizeof(**guests));
			if (!more)
				return -ENOMEM;
			*guests = more;
		}
		struct runtime_guest *guest = &(*guests)[count++];
		*guest = (struct runtime_guest){.pid = 0};
		memcpy(guest->name, name, sizeof(name));
		errno = 0;
	}
	return errno ? -errno : (ssize_t)count;
}

/* Reduces @count sorted names to those of living guests, once each. Of dead services the files go, too. */
static size_t keep_living(int directory, struct runtime_guest *guests, size_t count)
{
	size_t living = 0;
	/* Lock once for all names: even if there are many, this takes only a moment. */
	lock_directory(directory);
	for (size_t i = 0; i < count; i++) {
		struct runtime_guest guest = guests[i];
		if (i + 1 < count && strcmp(guest.name, guests[i + 1].name) == 0)
			continue;
		if (!look_after(directory, guest.name) || is_service(guest.name))
			continue;
		guest.pid = read_pid(directory, lock_name(guest.name).text);
		guests[living++] = guest;
	}
	unlock_directory(directory);
	return living;
}

ssize_t runtime_list(struct runtime_guest **guests)
{
	char path[PATH_MAX];
	*guests = NULL;
	int directory = open_directory(path, sizeof(path), false);
	if (directory < 0)
		return directory == -ENOENT ? 0 : directory;
	DIR *stream = fdopendir(directory);
	ssize_t count = stream ? read_names(stream, guests) : -errno;
	if (count > 0) {
		qsort(*guests, count, sizeof(**guests), by_name);
		count = keep_living(directory, *guests, count);
	}
	if (count < 0)
		log_error("cannot read the list of guests: %s; see %s", strerror(-count), path);
	if (count <= 0) {
		free(*guests);
		*guests = NULL;
	}
	if (stream)
		closedir(stream);
	else
		close(directory);
	return count;
}

const struct runtime_guest *runtime_find(const struct runtime_guest *guests, ssize_t count,
					 const char *name)
{
	for (ssize_t i = 0; i < count; i++)
		if (strcmp(guests[i].name, name) == 0)
			return &guests[i];
	return NULL;
}
