// One struct of numbers is taken for another: a report for a status.

#include "kaio/safe/kaio.h"

bool report_for_status(kaio_status status, kaio_flush_report report);

bool report_for_status(kaio_status status, kaio_flush_report report) {
#ifdef OK
    return kaio_status_is_ok(status) && report.refused_count == 0;
#else
    (void)status;
    return kaio_status_is_ok(report);
#endif
}
