/* Runs a corpus through a fuzz target, with any compiler: fuzz_X FILE-OR-FOLDER…
 * A crash ends the process, so the last line is printed only if there was none. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    int failed = 1;
    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        goto out;
    rewind(file);
    data = malloc(size == 0 ? 1 : (size_t)size); /* exact size: a sanitizer sees overreads */
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
        goto out;
    LLVMFuzzerTestOneInput(data, (size_t)size);
    failed = 0;
out:
    if (failed != 0)
        perror(path);
    free(data);
    if (file)
        fclose(file);
    return failed;
}

/* Runs the files of a folder in the order of their names and adds their number to *count. */
static int run_folder(const char *path, unsigned *count)
{
    struct dirent **entries;
    int failed = 0;
    int entries_count = scandir(path, &entries, NULL, alphasort);
    if (entries_count < 0) {
        perror(path);
        return 1;
    }
    for (int i = 0; i < entries_count; i++) {
        char child[4096];
        struct stat stat_buf;
        snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
        if (stat(child, &stat_buf) == 0 && S_ISREG(stat_buf.st_mode)) {
            failed |= run_file(child);
            ++*count;
        }
        free(entries[i]);
    }
    free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        struct stat stat_buf;
        if (stat(argv[i], &stat_buf) == 0 && S_ISDIR(stat_buf.st_mode)) {
            failed |= run_folder(argv[i], &count);
        } else {
            failed |= run_file(argv[i]);
            ++count;
        }
    }
    printf("%u inputs, 0 crashes\n", count);
    return failed;
}
