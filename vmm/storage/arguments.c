// SPDX-License-Identifier: Apache-2.0
/*
 * The command line of qemu-storage-daemon. Pure.
 *
 * Every layer is named with its format: the program itself probes nothing, and follows no name in an
 * image. Source: qemu-storage-daemon(1), qemu-storage-daemon-qmp-ref(7).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/storage/storage.h"

/* Adds @option and a text as of printf(3). */
__attribute__((format(printf, 3, 4))) static int add(struct storage_arguments *arguments,
						     const char *option, const char *format, ...)
{
	unsigned int n = 0;
	va_list list;

	while (arguments->argv[n])
		n++;
	va_start(list, format);
	int len = asprintf(&arguments->argv[n], "%s", option);
	if (len >= 0)
		len = vasprintf(&arguments->argv[n + 1], format, list);
	va_end(list);
	return len < 0 ? -ENOMEM : 0;
}

/* Writes @text with each comma, which would begin another option, doubled. @out: twice its length and 1. */
static const char *escape(char *out, const char *text)
{
	char *to = out;

	for (; *text; text++) {
		if (*text == ',')
			*to++ = ',';
		*to++ = *text;
	}
	*to = '\0';
	return out;
}

static int add_layer(struct storage_arguments *arguments, const struct storage_config *config,
		     unsigned int i)
{
	const struct storage_layer *layer = &config->layer[i];
	const char *read_only = i > 0 || config->read_only ? "on" : "off";
	char file[2 * PATH_MAX], backing[32] = "";

	if (i + 1 < config->layers)
		snprintf(backing, sizeof(backing), ",backing=disk%u", i + 1);
	int error = add(arguments, "--blockdev",
			"driver=%s,node-name=file%u,read-only=%s,locking=on,discard=unmap,"
			"cache.direct=%s,filename=%s",
			layer->device ? "host_device" : "file", i, read_only,
			config->direct ? "on" : "off", escape(file, layer->file));
	if (error)
		return error;
	return add(arguments, "--blockdev",
		   "driver=%s,node-name=disk%u,file=file%u,read-only=%s,discard=unmap%s",
		   layer->qcow2 ? "qcow2" : "raw", i, i, read_only, backing);
}

static int add_nbd(struct storage_arguments *arguments, const struct storage_config *config)
{
	const struct storage_nbd *nbd = config->nbd;
	char name[2 * sizeof(nbd->name)], place[2 * sizeof(nbd->host)];
	const char *read_only = config->read_only ? "on" : "off";

	escape(name, nbd->name);
	/* While the server is away, requests wait; after five minutes they fail. */
	if (nbd->path[0])
		return add(arguments, "--blockdev",
			   "driver=nbd,node-name=disk0,read-only=%s,discard=unmap,"
			   "reconnect-delay=300,server.type=unix,server.path=%s,export=%s",
			   read_only, escape(place, nbd->path), name);
	return add(arguments, "--blockdev",
		   "driver=nbd,node-name=disk0,read-only=%s,discard=unmap,reconnect-delay=300,"
		   "server.type=inet,server.host=%s,server.port=%s,export=%s",
		   read_only, escape(place, nbd->host), nbd->port, name);
}

int storage_arguments(struct storage_arguments *arguments, const struct storage_config *config,
		      int fd)
{
	int error = 0;

	*arguments = (struct storage_arguments){.argv = {(char *)"qemu-storage-daemon"}};
	/* The lowest first: each names the one below it. */
	for (unsigned int i = config->nbd ? 0 : config->layers; i > 0 && !error; i--)
		error = add_layer(arguments, config, i - 1);
	if (!error && config->nbd)
		error = add_nbd(arguments, config);
	if (!error && config->by_nbd) {
		error = add(arguments, "--nbd-server", "addr.type=fd,addr.str=%d", fd);
		return error ? error
			     : add(arguments, "--export",
				   "type=nbd,id=export0,node-name=disk0,name=,writable=off");
	}
	if (!error)
		error = add(arguments, "--export",
			    "type=vhost-user-blk,id=export0,node-name=disk0,addr.type=fd,"
			    "addr.str=%d,writable=%s",
			    fd, config->read_only ? "off" : "on");
	return error;
}

void storage_arguments_release(struct storage_arguments *arguments)
{
	for (unsigned int i = 1; i < STORAGE_ARGUMENTS_MAX; i++)
		free(arguments->argv[i]);
}
