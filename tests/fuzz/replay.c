/* SPDX-License-Identifier: MIT
 *
 * A fuzzer's corpus without a fuzzer: every file that is named is given to the door once, by any compiler. */
#include "fuzz.h"

enum { MOST = 1 << 20 };

int main(int count, char **names)
{
    static uint8_t data[MOST];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        if (!file) {
            fprintf(stderr, "%s: cannot be read\n", names[i]);
            return 1;
        }
        const size_t size = fread(data, 1, MOST, file);
        fclose(file);
        (void)LLVMFuzzerTestOneInput(data, size);
    }
    printf("%d inputs\n", count - 1);
    return count < 2;
}
