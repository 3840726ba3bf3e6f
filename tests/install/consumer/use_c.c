/* A consumer in C99: prints the version; opens the library, which says clearly what is missing where there is no GPU. */
#include <rtjit.h>
#include <stdio.h>

int main(void) {
  rtjit_library* library = NULL;
  rtjit_status status;
  printf("version %s\n", rtjit_version());
  status = rtjit_library_open(NULL, &library);
  printf("status %s\n", rtjit_status_name(status));
  if (status != RTJIT_OK) printf("message %s\n", rtjit_last_error());
  rtjit_library_close(library);
  return status == RTJIT_OK || status == RTJIT_UNAVAILABLE || status == RTJIT_NO_GPU ? 0 : 1;
}
