// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/qmp_bench.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"

static json_t *run_echo(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)ctx;
	(void)error;
	return json_deep_copy(arguments);
}

static json_t *run_fail(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)ctx;
	(void)arguments;
	return control_fail(error, "no %s", "luck");
}

static json_t *run_fail_class(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)ctx;
	(void)arguments;
	control_fail(error, "No balloon device");
	error->class = "DeviceNotActive";
	return NULL;
}

/* The text is cut in the middle of a character. */
static json_t *run_fail_long(void *ctx, const json_t *arguments, struct control_error *error)
{
	char text[600] = "";
	(void)ctx;
	(void)arguments;
	for (int i = 0; i < 250; i++)
		strcat(text, "\u00e9");
	return control_fail(error, "%s", text);
}

static json_t *run_fail_silently(void *ctx, const json_t *arguments, struct control_error *error)
{
	(void)ctx;
	(void)arguments;
	(void)error;
	return NULL;
}

static json_t *run_big(void *ctx, const json_t *arguments, struct control_error *error)
{
	size_t size = json_integer_value(json_object_get(arguments, "size"));
	char *text = malloc(size + 1);
	(void)ctx;
	(void)error;
	memset(text, 'x', size);
	json_t *value = json_stringn(text, size);
	free(text);
	return value;
}

static json_t *run_emit(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct bench *bench = ctx;
	const json_t *storm = json_object_get(arguments, "storm");
	(void)error;
	control_server_event(bench->server, "a", NULL);
	control_server_event(bench->server, "b", json_pack("{s:i}", "n", 1));
	for (int i = 0; i < json_integer_value(storm); i++)
		control_server_event(bench->server, "c",
				     json_pack("{s:o}", "text", run_big(ctx, arguments, error)));
	return json_object();
}

static json_t *run_count(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct bench *bench = ctx;
	(void)arguments;
	(void)error;
	return json_integer(++bench->count);
}

static json_t *run_later(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct bench *bench = ctx;
	(void)arguments;
	(void)error;
	bench->later = control_server_defer(bench->server);
	return NULL;
}

static json_t *run_quit(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct bench *bench = ctx;
	(void)arguments;
	(void)error;
	bench->quit = true;
	loop_stop(&bench->loop);
	return json_object();
}

static json_t *run_take(void *ctx, const json_t *arguments, struct control_error *error)
{
	struct bench *bench = ctx;
	int fd = control_server_take_descriptor(bench->server);
	(void)arguments, (void)error;
	if (fd < 0)
		return json_string("none");
	/* The byte that says which one it is. */
	char byte[2] = "?";
	ck_assert_int_eq(read(fd, byte, 1), 1);
	close(fd);
	return json_string(byte);
}

static const struct control_command commands[] = {
	{"echo", CONTROL_READS, run_echo},
	{"fail", CONTROL_READS, run_fail},
	{"fail-class", CONTROL_ACTS, run_fail_class},
	{"fail-long", CONTROL_ACTS, run_fail_long},
	{"fail-silently", CONTROL_ACTS, run_fail_silently},
	{"big", CONTROL_READS, run_big},
	{"emit", CONTROL_ACTS, run_emit},
	{"count", CONTROL_ACTS, run_count},
	{"later", CONTROL_READS, run_later},
	{"take", CONTROL_READS, run_take},
	{"quit", CONTROL_ACTS, run_quit},
	{},
};

static void on_tick(void *ctx)
{
	struct bench *bench = ctx;
	if (++bench->ticks >= bench->stop_at)
		loop_stop(&bench->loop);
}

void bench_init(struct bench *bench)
{
	*bench = (struct bench){.server = NULL};
	ck_assert_int_eq(runtime_claim(&bench->name, "one"), 0);
	ck_assert_int_eq(loop_init(&bench->loop), 0);
	int listener = runtime_listen(&bench->name);
	ck_assert_int_ge(listener, 0);
	ck_assert_int_eq(
		control_server_init(&bench->server, &bench->loop, listener, -1, commands, bench),
		0);
	bench->ticker = (struct loop_source){eventfd(1, EFD_CLOEXEC), on_tick, bench};
	ck_assert_int_eq(loop_add(&bench->loop, &bench->ticker), 0);
}

void bench_release(struct bench *bench)
{
	control_server_release(bench->server);
	close(bench->ticker.fd);
	loop_release(&bench->loop);
	runtime_release(&bench->name);
	ck_assert_int_eq(files_left(), 0);
}

void bench_rounds(struct bench *bench, unsigned int count)
{
	bench->stop_at = bench->ticks + count;
	atomic_store(&bench->loop.stop, false);
	ck_assert_int_eq(loop_run(&bench->loop), 0);
}

int bench_connect(struct bench *bench)
{
	int fd = runtime_connect(bench->name.guest);
	ck_assert_int_ge(fd, 0);
	return fd;
}

int bench_negotiated(struct bench *bench)
{
	int fd = bench_connect(bench);
	const char *answer = ask(bench, fd, "{\"execute\":\"qmp_capabilities\"}");
	ck_assert_msg(strstr(answer, "{\"return\": {}}\r\n") != NULL, "%s", answer);
	return fd;
}

void put_bytes(int fd, const char *bytes, size_t len)
{
	ck_assert_int_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

void put(int fd, const char *text)
{
	put_bytes(fd, text, strlen(text));
}

const char *get(int fd, bool *ended)
{
	static char text[65537];
	size_t len = 0;
	ssize_t got = -1;
	while (len < sizeof(text) - 1 &&
	       (got = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT)) > 0)
		len += got;
	if (ended)
		*ended = got == 0 || (got < 0 && errno == ECONNRESET);
	text[len] = '\0';
	return text;
}

const char *ask(struct bench *bench, int fd, const char *text)
{
	put(fd, text);
	bench_rounds(bench, 10 + strlen(text) / 8);
	return get(fd, NULL);
}
