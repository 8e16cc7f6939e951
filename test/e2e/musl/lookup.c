/* Looks names up as getent ahosts does with glibc; exit code 2 when one has no address. */
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **names) {
  int missing = 0;
  for (int i = 1; i < count; i++) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int code = getaddrinfo(names[i], NULL, &hints, &found);
    printf("%s: %s\n", names[i], code == 0 ? "found" : gai_strerror(code));
    if (code == 0) freeaddrinfo(found);
    else missing = 1;
  }
  return missing ? 2 : 0;
}
