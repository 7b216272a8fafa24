package sandbox

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// keepFiles makes nothing that is started from now on inherit an open file that
// was not meant for it. Go's own files are no matter; but fleet may have been
// started with some, and through an open folder a script could leave its walls.
func keepFiles() error {
	const open = "/dev/fd"
	entries, err := os.ReadDir(open)
	if err != nil {
		return fmt.Errorf("see which files are open, so that no script inherits one: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}
