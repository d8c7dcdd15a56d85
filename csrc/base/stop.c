/* SPDX-License-Identifier: MIT
 * See stop.h. */
#include "stop.h"

#include "os.h"
#include "tuning.h"

static int answer(const rc_stop *stop)
{
    rc_fpenv_leave(stop->outside);
    const int wants_the_end = stop->cancel(stop->context);
    (void)rc_fpenv_enter();
    return wants_the_end;
}

int rc_stop_ask(rc_stop *stop)
{
    if (!stop->cancel || rc_stopped(stop)) return rc_stopped(stop);
    const double now = rc_os_seconds();
    if (stop->next == 0) stop->next = now + stop->every;
    if (stop->every > 0 && now < stop->next) return 0;
    const int ends = answer(stop);
    const double after = rc_os_seconds(), rest = RC_ASK_REST * (after - now);
    stop->next = after + (rest > stop->every ? rest : stop->every);
    if (ends) atomic_store_explicit(&stop->stopped, 1, memory_order_relaxed);
    return ends;
}
