/* Status codes: what every fallible public function returns. The reason is in the caller's diagnostics. */
#ifndef ANLAGE_STATUS_H
#define ANLAGE_STATUS_H

typedef enum anl_status {
    ANL_OK = 0,
    ANL_ERROR_SPEC,        /* the spec is wrong; diagnostics say where */
    ANL_ERROR_FILE,        /* a file could not be read or written (errno in the diagnostic) */
    ANL_ERROR_FORMAT,      /* a file was read but is not what it should be */
    ANL_ERROR_MEMORY,      /* host or device memory ran out; the object that was asked for does not exist */
    ANL_ERROR_DEVICE,      /* a device is missing, unfit, or refused a call */
    ANL_ERROR_DEVICE_LOST, /* the device is lost; sticky: every later call on it returns this */
    ANL_ERROR_LIMIT,       /* beyond a limit of the device or of the engine */
    ANL_ERROR_STOPPED,     /* stopped on request (Ctrl-C, SIGTERM); state is consistent */
    ANL_ERROR_ARGUMENT,    /* wrong argument from the caller */
} anl_status;

#endif
