/* Cohorts of an audit: the folders and datasets that --candidate and its like name. A folder of
 * images is read where it lies; of another dataset (sslmem/dataset.h) the audit keeps the bytes of
 * images that have no file of their own until they are scored. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "server/cmd/audit.h"
#include "server/ingest/ingest.h"

char *sm_cmd_audit_data_path(const char *argument, sm_cmd_audit_resolve *resolve)
{
    struct sm_dataset_place *place = malloc(sizeof *place);
    char *path = NULL, *list = NULL, *out = NULL;
    if (place && sm_dataset_place(place, argument, NULL) == SM_OK) {
        path = resolve(place->path);
        list = place->list[0] != '\0' ? resolve(place->list) : strdup("");
    }
    size_t bytes = path && list ? strlen(path) + strlen(place->part) + strlen(list) + 3 : 0;
    if (bytes > 0 && (out = malloc(bytes)))
        snprintf(out, bytes, "%s%s%s%s%s", path, place->part[0] != '\0' ? ":" : "", place->part,
                 list[0] != '\0' ? "@" : "", list);
    free(path);
    free(list);
    free(place);
    return out;
}

bool sm_cmd_audit_is_folder(const char *argument)
{
    struct sm_dataset_place *place = malloc(sizeof *place);
    bool is = place && sm_dataset_place(place, argument, NULL) == SM_OK && place->is_folder;
    free(place);
    return is;
}

enum sm_code sm_cmd_audit_take_data(struct sm_ingest *ingest, const char *argument, int cohort,
                                    struct sm_err *err)
{
    const struct sm_ingest_labels labels = {.cohort = cohort};
    struct sm_dataset *dataset;
    if (sm_cmd_audit_is_folder(argument))
        return sm_ingest_folder(ingest, argument, ".", &labels, err);
    enum sm_code code = sm_dataset_open(&dataset, argument, err);
    if (code == SM_OK)
        code = sm_ingest_dataset(ingest, dataset, cohort, err);
    sm_dataset_close(dataset);
    return code;
}

enum sm_code sm_cmd_audit_pack_data(const struct sm_pack_params *params, const char *argument,
                                    const char *cohort, struct sm_err *err)
{
    struct sm_pack_params packing = *params;
    struct sm_dataset *dataset;
    packing.folder = argument;
    if (sm_cmd_audit_is_folder(argument))
        return sm_pack_folder(&packing, err);
    enum sm_code code = sm_dataset_open(&dataset, argument, err);
    if (code == SM_OK)
        code = sm_pack_dataset(&packing, dataset, cohort, err);
    sm_dataset_close(dataset);
    return code;
}
