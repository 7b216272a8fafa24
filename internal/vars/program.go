package vars

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program finds a program in the PATH of an environment, which is not that of
// this process.
func program(env []string, name string) (string, error) {
	for i := len(env) - 1; i >= 0; i-- { // the last one counts
		path, ok := strings.CutPrefix(env[i], "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); filepath.IsAbs(file) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return file, nil
			}
		}
		break
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}
