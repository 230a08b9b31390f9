// SPDX-License-Identifier: Apache-2.0
#include "vmm/images/images.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/lib/image_lock.h"
#include "vmm/lib/json.h"
#include "vmm/lib/log.h"

#define NAME_SIZE_MAX 64
#define ABOUT_MAX     4096 /* bytes */
#define OPEN_FOLDERS  16   /* folders that are open at once while a tree is removed */

const char *image_name_error(const char *name)
{
	static const char plain[] =
		"0123456789-._ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	if (!*name)
		return "is empty";
	if (strlen(name) > NAME_SIZE_MAX)
		return "is too long";
	if (*name == '.' || *name == '-')
		return "begins with a dot or a hyphen";
	return name[strspn(name, plain)] ? "has other characters than letters, digits, -, _ and ."
					 : NULL;
}

int images_path(char *path, size_t size)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	bool has_data = data && *data == '/'; /* a relative one does not count */

	if (!has_data && (!home || *home != '/')) {
		log_error("there is no folder for images: neither XDG_DATA_HOME nor HOME is set");
		return -ENOENT;
	}
	int len = has_data ? snprintf(path, size, "%s/ebb", data)
			   : snprintf(path, size, "%s/.local/share/ebb", home);
	/* Room for the names below it. */
	if ((size_t)len + 2 * NAME_SIZE_MAX < size)
		return 0;
	log_error("the name of the folder for images is too long; set XDG_DATA_HOME to another");
	return -ENAMETOOLONG;
}

/* Writes the path of @file of an image whose name is a good one. */
static int path_of(char path[PATH_MAX], const char *name, const char *file)
{
	char folder[PATH_MAX];
	int error = images_path(folder, sizeof(folder));

	if (!error && snprintf(path, PATH_MAX, "%s/%s/%s", folder, name, file) >= PATH_MAX)
		error = -ENAMETOOLONG; /* images_path() has kept room */
	return error;
}

static int check_name(const char *name)
{
	const char *wrong = image_name_error(name);

	if (wrong)
		log_error("the image's name \"%s\" %s", name, wrong);
	return wrong ? -EINVAL : 0;
}

int image_disk(const char *name, char path[PATH_MAX])
{
	struct stat st;

	int error = check_name(name);
	if (!error)
		error = path_of(path, name, IMAGE_DISK);
	return error ? error : stat(path, &st) == 0 ? 0 : -ENOENT;
}

/* --- what there is ---------------------------------------------------------------------------- */

/* Returns what the image says of itself, a new object: an empty one if it does not, or not as ebb does. */
static json_t *read_about(const char *name)
{
	char path[PATH_MAX], text[ABOUT_MAX], why[64];
	json_t *about = NULL;

	if (path_of(path, name, IMAGE_ABOUT) == 0) {
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
		ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text));
		if (len > 0)
			json_read(&about, text, (size_t)len, why, sizeof(why));
		if (fd >= 0)
			close(fd);
	}
	if (json_is_object(about))
		return about;
	json_decref(about);
	return json_object();
}

json_t *image_describe(const char *name)
{
	static const char *const told[] = {"suite", "kernel", "made"};
	char path[PATH_MAX];
	struct stat st;

	if (image_name_error(name) || path_of(path, name, IMAGE_DISK) != 0 || stat(path, &st) != 0)
		return NULL;
	json_t *image = json_object(), *about = read_about(name);
	json_object_set_new(image, "name", json_string(name));
	json_object_set_new(image, "path", json_text(path));
	json_object_set_new(image, "size", json_count((uint64_t)st.st_size));
	json_object_set_new(image, "allocated", json_count((uint64_t)st.st_blocks * 512));
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (json_object_get(about, told[i]))
			json_object_set(image, told[i], json_object_get(about, told[i]));
	json_decref(about);
	return image;
}

json_t *images_list(void)
{
	struct dirent **entry = NULL;
	char folder[PATH_MAX];

	if (images_path(folder, sizeof(folder)) != 0)
		return NULL;
	int count = scandir(folder, &entry, NULL, alphasort);
	if (count < 0 && errno != ENOENT) {
		log_error("cannot read the folder of the images %s: %s", folder, strerror(errno));
		return NULL;
	}
	json_t *list = json_array();
	for (int i = 0; i < count; i++) {
		json_t *image = image_describe(entry[i]->d_name);
		if (image)
			json_array_append_new(list, image);
		free(entry[i]);
	}
	free(entry);
	return list;
}

/* --- removing --------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind;
	return at->level == 0 || remove(path) == 0 || errno == ENOENT ? 0 : errno;
}

int images_empty_folder(const char *path)
{
	int error = nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	return error < 0 ? -errno : -error;
}

int images_remove_tree(const char *path)
{
	int error = images_empty_folder(path);

	if (!error && rmdir(path) != 0)
		error = -errno;
	return error;
}

/*
 * Sets @fd to a descriptor by which no guest can begin to use @disk; to -1 if there is none, as one leaves it that was killed
 * while it removed the image. Returns 0, or -errno after an error message.
 */
static int keep_guests_out(const char *name, const char *disk, int *fd)
{
	*fd = open(disk, O_RDWR | O_CLOEXEC);
	int error = *fd >= 0 ? image_lock(*fd, false) : errno == ENOENT ? 0 : -errno;

	if (error == -EAGAIN)
		log_error(
			"a guest uses the image \"%s\"; stop it first: \"ebb list\" shows the guests",
			name);
	else if (error)
		log_error("cannot remove the image \"%s\": %s", name, strerror(-error));
	return error;
}

int image_remove(const char *name)
{
	char disk[PATH_MAX], folder[PATH_MAX];
	int fd = -1;

	int error = check_name(name);
	if (!error)
		error = path_of(folder, name, "");
	if (!error)
		error = path_of(disk, name, IMAGE_DISK);
	if (error)
		return error;
	if (access(folder, F_OK) != 0) {
		log_error("there is no image \"%s\"; \"ebb images\" lists them", name);
		return -ENOENT;
	}
	error = keep_guests_out(name, disk, &fd);
	if (!error) {
		error = images_remove_tree(folder);
		if (error)
			log_error("cannot remove the image \"%s\": %s", name, strerror(-error));
	}
	if (fd >= 0)
		close(fd);
	return error;
}
