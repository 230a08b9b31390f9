// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/lib/loop.h"

/* An eventfd in a loop, and what its callback is to do. */
struct event {
	struct loop *loop;
	struct loop_source source;
	atomic_uint calls;
	unsigned int stop_at; /* this call stops the loop */
	struct event *remove; /* is removed by the first call */
};

static void on_event(void *ctx)
{
	struct event *event = ctx;
	eventfd_t count;
	ck_assert_int_eq(eventfd_read(event->source.fd, &count), 0);
	event->calls++;
	if (event->remove)
		loop_remove(event->loop, &event->remove->source);
	event->remove = NULL;
	if (event->calls == event->stop_at)
		loop_stop(event->loop);
}

/* Every event_init() is raised: it is ready when the loop starts. */
static void event_init(struct event *event, struct loop *loop, unsigned int stop_at)
{
	*event = (struct event){.loop = loop, .stop_at = stop_at};
	event->source = (struct loop_source){eventfd(1, EFD_NONBLOCK), on_event, event};
	ck_assert_int_ge(event->source.fd, 0);
	ck_assert_int_eq(loop_add(loop, &event->source), 0);
}

START_TEST(test_several)
{
	struct loop loop;
	struct event events[8];
	unsigned int calls = 0;
	ck_assert_int_eq(loop_init(&loop), 0);
	/* The last to be served stops the loop: none of the others is starved until then. */
	for (int i = 0; i < 8; i++)
		event_init(&events[i], &loop, i == 7);
	ck_assert_int_eq(loop_run(&loop), 0);
	for (int i = 0; i < 8; i++) {
		calls += events[i].calls;
		close(events[i].source.fd);
	}
	ck_assert_uint_eq(events[7].calls, 1);
	ck_assert_uint_eq(calls, 8);
	loop_release(&loop);
}
END_TEST

/* Both are ready; whichever comes first removes the other, which must not be called any more. */
START_TEST(test_remove_another_in_callback)
{
	struct loop loop;
	struct event a, b, last;
	ck_assert_int_eq(loop_init(&loop), 0);
	event_init(&a, &loop, 0);
	event_init(&b, &loop, 0);
	event_init(&last, &loop, 1);
	a.remove = &b;
	b.remove = &a;
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(a.calls + b.calls, 1);
	close(a.source.fd);
	close(b.source.fd);
	close(last.source.fd);
	loop_release(&loop);
}
END_TEST

static void *stop_when_served(void *ctx)
{
	struct event *event = ctx;
	while (atomic_load(&event->calls) == 0)
		sched_yield();
	loop_stop(event->loop);
	return NULL;
}

START_TEST(test_remove_itself_and_stop_from_a_thread)
{
	struct loop loop;
	struct event event;
	pthread_t thread;
	ck_assert_int_eq(loop_init(&loop), 0);
	event_init(&event, &loop, 0);
	event.remove = &event;
	/* The loop has nothing left to wait for but the stop. */
	ck_assert_int_eq(pthread_create(&thread, NULL, stop_when_served, &event), 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	pthread_join(thread, NULL);
	/* It is out, and can come in again. */
	ck_assert_uint_eq(event.calls, 1);
	ck_assert_int_eq(loop_add(&loop, &event.source), 0);
	ck_assert_int_eq(loop_add(&loop, &event.source), -EEXIST);
	close(event.source.fd);
	loop_release(&loop);
}
END_TEST

START_TEST(test_stopped_before_it_runs)
{
	struct loop loop;
	struct event event;
	ck_assert_int_eq(loop_init(&loop), 0);
	event_init(&event, &loop, 0);
	loop_stop(&loop);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(event.calls, 0);
	close(event.source.fd);
	loop_release(&loop);
}
END_TEST

static void on_hangup(void *ctx)
{
	loop_stop(ctx);
}

static void on_wrong(void *ctx)
{
	(void)ctx;
	ck_abort_msg("it is not what this source waits for");
}

/* A source that hangs up is ready too, or nobody would notice. */
START_TEST(test_hangup_is_ready)
{
	struct loop loop;
	int fds[2];
	struct loop_source source;
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(pipe(fds), 0);
	close(fds[1]);
	source = (struct loop_source){fds[0], on_hangup, &loop};
	ck_assert_int_eq(loop_add(&loop, &source), 0);
	ck_assert_int_eq(loop_run(&loop), 0);
	close(fds[0]);
	loop_release(&loop);
}
END_TEST

/* A pipe's end that has room, asked to be readable, which it never is, and then to be writable. */
START_TEST(test_writable)
{
	struct loop loop;
	struct event other;
	int fds[2];
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	struct loop_source source = {fds[1], on_hangup, &loop};
	ck_assert_int_eq(loop_add(&loop, &source), 0);
	event_init(&other, &loop, 1);
	ck_assert_int_eq(loop_run(&loop), 0);
	ck_assert_uint_eq(other.calls, 1);

	loop_remove(&loop, &other.source);
	atomic_store(&loop.stop, false);
	ck_assert_int_eq(loop_wait_for(&loop, &source, true), 0);
	ck_assert_int_eq(loop_run(&loop), 0);

	/* Full, it is not writable; and it can wait to be readable again. */
	char bytes[4096] = {0};
	while (write(fds[1], bytes, sizeof(bytes)) > 0)
		;
	event_init(&other, &loop, 1);
	source.ready = on_wrong;
	for (int writable = 0; writable < 2; writable++) {
		atomic_store(&loop.stop, false);
		ck_assert_int_eq(loop_wait_for(&loop, &source, writable), 0);
		eventfd_write(other.source.fd, 1);
		other.stop_at = other.calls + 1;
		ck_assert_int_eq(loop_run(&loop), 0);
	}
	loop_remove(&loop, &source);
	ck_assert_int_eq(loop_wait_for(&loop, &source, true), -ENOENT);
	close(fds[0]);
	close(fds[1]);
	close(other.source.fd);
	loop_release(&loop);
}
END_TEST

static void on_edge(void *ctx)
{
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

/* What was not read does not call again; what comes on top of it does. */
START_TEST(test_edges)
{
	struct loop loop;
	atomic_uint calls = 0;
	struct loop_source source = {eventfd(1, EFD_NONBLOCK), on_edge, &calls};

	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(loop_add_edge(&loop, &source), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(loop_turn(&loop, 0), 0);
	ck_assert_uint_eq(calls, 1);
	ck_assert_int_eq(eventfd_write(source.fd, 1), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(loop_turn(&loop, 0), 0);
	ck_assert_uint_eq(calls, 2);
	close(source.fd);
	loop_release(&loop);
}
END_TEST

/* A muted source is not called; what came meanwhile calls it afterwards. */
START_TEST(test_muted)
{
	struct loop loop;
	atomic_uint calls = 0;
	struct loop_source source = {eventfd(0, EFD_NONBLOCK), on_edge, &calls};

	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(loop_add_edge(&loop, &source), 0);
	for (int round = 0; round < 2; round++) {
		loop_turn(&loop, 0);
		calls = 0;
		loop_mute(&loop, &source);
		ck_assert_int_eq(eventfd_write(source.fd, 1), 0);
		ck_assert_int_eq(loop_turn(&loop, 0), 0);
		ck_assert_uint_eq(calls, 0);
		ck_assert_int_eq(round ? loop_wait_for(&loop, &source, false)
				       : loop_wait_for_edge(&loop, &source),
				 0);
		ck_assert_int_eq(loop_turn(&loop, 0), 0);
		ck_assert_uint_eq(calls, 1);
	}
	close(source.fd);
	loop_release(&loop);
}
END_TEST

START_TEST(test_file_is_refused)
{
	struct loop loop;
	struct loop_source source = {.fd = open("/dev/null", O_RDONLY)};
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(loop_add(&loop, &source), -EPERM);
	close(source.fd);
	ck_assert_int_eq(loop_add(&loop, &source), -EBADF);
	loop_release(&loop);
}
END_TEST

/* A connection of which nothing is urgent but what is sent so. */
static void pair(int end[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, len), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	end[0] = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(end[0], (struct sockaddr *)&address, len), 0);
	end[1] = accept(listener, NULL, NULL);
	ck_assert_int_ge(end[1], 0);
	close(listener);
}

static void on_urgent(void *ctx)
{
	char byte;
	struct event *event = ctx;
	ck_assert_int_eq(recv(event->source.fd, &byte, 1, MSG_OOB), 1);
	event->calls++;
}

START_TEST(test_urgent)
{
	struct loop loop;
	struct event event = {.loop = &loop};
	int end[2];
	pair(end);
	event.source = (struct loop_source){end[1], on_urgent, &event};
	ck_assert_int_eq(loop_init(&loop), 0);
	ck_assert_int_eq(loop_add_urgent(&loop, &event.source), 0);
	ck_assert_int_eq(send(end[0], "a", 1, 0), 1);
	ck_assert_int_eq(loop_turn(&loop, 100), 0);
	ck_assert_uint_eq(event.calls, 0);
	ck_assert_int_eq(send(end[0], "b", 1, MSG_OOB), 1);
	ck_assert_int_eq(loop_turn(&loop, 10000), 0);
	ck_assert_uint_eq(event.calls, 1);
	loop_release(&loop);
	close(end[0]);
	close(end[1]);
}
END_TEST

Suite *loop_suite(void);
Suite *loop_suite(void)
{
	Suite *suite = suite_create("loop");
	TCase *tcase = tcase_create("loop");
	tcase_add_test(tcase, test_several);
	tcase_add_test(tcase, test_remove_another_in_callback);
	tcase_add_test(tcase, test_remove_itself_and_stop_from_a_thread);
	tcase_add_test(tcase, test_stopped_before_it_runs);
	tcase_add_test(tcase, test_hangup_is_ready);
	tcase_add_test(tcase, test_writable);
	tcase_add_test(tcase, test_edges);
	tcase_add_test(tcase, test_muted);
	tcase_add_test(tcase, test_urgent);
	tcase_add_test(tcase, test_file_is_refused);
	suite_add_tcase(suite, tcase);
	return suite;
}
