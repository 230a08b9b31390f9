// SPDX-License-Identifier: Apache-2.0
#include "vmm/top/top.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/control/client.h"
#include "vmm/keeper/host.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/top/screen.h"
#include "vmm/top/watch.h"

/* How long a screen waits for guests that answered before; and what is printed does. */
#define PATIENCE_SCREEN (300 * NS_PER_MS)
#define PATIENCE_PRINT	(CONTROL_ANSWER_MS * NS_PER_MS)

/* What is printed has all rates: statistics that the first look asks for come with the second, and again with the third. */
#define FIRST_PRINTED 3

struct top {
	const struct top_options *options;
	struct loop loop;
	struct loop_source signals, input; /* -1: no screen */
	struct screen *screen;
	struct top_watch *watch;
	struct keeper_source source;
	struct top_host host;
	struct top_view view;
	bool stop;
	int err;

	uint64_t next; /* ns: when the next frame begins */
	uint64_t late; /* ns: when the frame is drawn at the latest; 0: it is drawn */
	unsigned int frames;
};

/* --- a frame --------------------------------------------------------------------------------- */

static void read_host(struct top *top)
{
	struct keeper_host host;
	top->host = (struct top_host){TOP_UNKNOWN, TOP_UNKNOWN, TOP_UNKNOWN};
	if (keeper_host_read(&top->source, &host, clock_ns()) != 0)
		return;
	top->host.total = host.total;
	top->host.available = host.available;
	top->host.pressure = keeper_host_pressure(&top->source);
}

static void print_line(void *ctx, size_t row, enum top_style style, const char *text)
{
	(void)ctx, (void)row, (void)style;
	puts(text);
}

static void print_json(const json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
}

static void print_frame(struct top *top, struct top_figures **guest, size_t shown, size_t count)
{
	if (top->frames < FIRST_PRINTED)
		return;
	if (top->options->json) {
		json_t *object = top_json(&top->host, guest, shown);
		print_json(object);
		json_decref(object);
	} else {
		if (top->frames > FIRST_PRINTED)
			putchar('\n');
		top_draw(&top->view, &top->host, guest, shown, count, TOP_WIDTH_MAX,
			 TOP_HEAD_LINES + (shown ? shown : 1), print_line, NULL);
	}
	/* main() says that it failed. */
	if (fflush(stdout) != 0 || top->options->once)
		top->stop = true;
}

static void draw(struct top *top)
{
	size_t count, width, height;
	struct top_figures **guest = top_watch_guests(top->watch, &count);
	size_t shown = top_arrange(&top->view, guest, count);
	if (!top->screen) {
		print_frame(top, guest, shown, count);
		return;
	}
	screen_size(top->screen, &width, &height);
	screen_begin(top->screen);
	top_draw(&top->view, &top->host, guest, shown, count, width, height, screen_line,
		 top->screen);
	screen_end(top->screen);
}

static void begin_frame(struct top *top, uint64_t now)
{
	uint64_t interval = top->options->interval * NS_PER_MS;
	top->next += interval;
	if (top->next <= now) /* the first one, or after a pause */
		top->next = now + interval;
	top->late = now + (top->screen ? PATIENCE_SCREEN : PATIENCE_PRINT);
	top->err = top_watch_frame(top->watch);
	top->stop |= top->err != 0;
}

static void end_frame(struct top *top)
{
	top->late = 0;
	top->frames++;
	read_host(top);
	draw(top);
}

/* Returns for how many milliseconds there is nothing to do; -1: without end. */
static int rest(const struct top *top, uint64_t now)
{
	uint64_t due = top->late ? top->late : top->view.paused ? 0 : top->next;
	if (!due)
		return -1;
	return due <= now ? 0 : (int)((due - now) / NS_PER_MS + 1);
}

static void tick(struct top *top)
{
	uint64_t now = clock_ns();
	if (!top->late && !top->view.paused && now >= top->next)
		begin_frame(top, now);
	if (top->late && !top->stop && (now >= top->late || top_watch_pending(top->watch) == 0))
		end_frame(top);
}

/* --- keys and signals ------------------------------------------------------------------------ */

static void keys_came(void *ctx)
{
	struct top *top = ctx;
	size_t count;
	int key, left = 0, keys = 0;
	struct top_figures **guest = top_watch_guests(top->watch, &count);
	size_t shown = top_arrange(&top->view, guest, count);
	for (; !top->stop && (key = screen_key(top->screen)) >= 0; keys++) {
		top->stop |= top_key(&top->view, key, guest, shown) == TOP_QUIT;
		shown = top_arrange(&top->view, guest, count);
	}
	/* A terminal that went away is readable for ever. */
	if (keys == 0 && (ioctl(top->input.fd, FIONREAD, &left) != 0 || left == 0))
		top->stop = true;
	if (!top->stop)
		draw(top);
}

static void signal_came(void *ctx)
{
	struct top *top = ctx;
	struct signalfd_siginfo info;
	if (read(top->signals.fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		draw(top);
	else
		top->stop = true;
}

static int watch_signals(struct top *top)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	/* What would end it while it has the terminal must give that back first. */
	if (!top->options->batch) {
		sigaddset(&set, SIGQUIT);
		sigaddset(&set, SIGWINCH);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	top->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return top->signals.fd < 0 ? -errno : loop_add(&top->loop, &top->signals);
}

/* --- start and end --------------------------------------------------------------------------- */

static int start(struct top *top)
{
	int err = loop_init(&top->loop);
	if (!err)
		err = watch_signals(top);
	if (!err && !(top->watch = top_watch_new(&top->loop)))
		err = -ENOMEM;
	if (!err && !top->options->batch)
		err = loop_add(&top->loop, &top->input);
	if (err) {
		log_error("cannot watch guests: %s", strerror(-err));
		return err;
	}
	if (top->options->batch)
		return 0;
	err = screen_open(&top->screen);
	if (!err) {
		top->view.ascii = !screen_is_utf8();
		read_host(top);
		draw(top);
	}
	return err;
}

int top_run(const struct top_options *options)
{
	struct top top = {
		.options = options,
		.loop = {.epoll = -1, .wake = -1},
		.view = options->view,
	};
	top.signals = (struct loop_source){-1, signal_came, &top};
	top.input = (struct loop_source){STDIN_FILENO, keys_came, &top};
	top.view.plain = options->batch;
	keeper_source_open(&top.source, "/proc", "/sys/fs/cgroup");
	int err = start(&top);
	while (!err && !top.stop) {
		tick(&top);
		if (!top.stop)
			err = loop_turn(&top.loop, rest(&top, clock_ns()));
	}
	screen_close(top.screen);
	top_watch_free(top.watch);
	keeper_source_close(&top.source);
	if (top.signals.fd >= 0)
		close(top.signals.fd);
	loop_release(&top.loop);
	return err ? err : top.err;
}
