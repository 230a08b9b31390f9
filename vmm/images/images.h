/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's named images, which `ebb setup` makes (make.h): NAME/disk.img in $XDG_DATA_HOME/ebb, or in ~/.local/share/ebb;
 * and beside it NAME/image.json, which tells what is in it. A folder whose name begins with a dot is no image: it is one
 * that is being made.
 *
 * Thread: main. Source: the XDG Base Directory Specification.
 */
#ifndef EBB_IMAGES_IMAGES_H
#define EBB_IMAGES_IMAGES_H

#include <jansson.h>
#include <limits.h>
#include <stddef.h>

#define IMAGE_DISK  "disk.img"
#define IMAGE_ABOUT "image.json"

/* Returns NULL if an image can have @name, else the error, to follow the name: "is too long". */
const char *image_name_error(const char *name);

/* Writes the path of the folder of all images. Returns 0, or -errno after an error message. */
int images_path(char *path, size_t size);

/* Writes the path of the disk of the image @name. Returns 0, -ENOENT without an error message, or -errno after one. */
int image_disk(const char *name, char path[PATH_MAX]);

/*
 * Describes the image @name: an object with its "name", "path", and "size" and "allocated" bytes; and, as it says of
 * itself, its "suite", "kernel" and when it was "made", in seconds since 1970. Returns a new reference, or NULL if there is
 * no such image.
 */
json_t *image_describe(const char *name);

/* Returns a new array of them all, sorted by name, or NULL after an error message. */
json_t *images_list(void);

/*
 * Removes an image that no guest uses, or what is left of one. Returns 0, or -errno after an error message: -EINVAL and
 * -ENOENT for a wrong name, -EAGAIN if a guest uses it.
 */
int image_remove(const char *name);

/* Remove all that is in the folder @path; and the folder, too. Return 0 or -errno. */
int images_empty_folder(const char *path);
int images_remove_tree(const char *path);

#endif
