// Package environ reads an environment that was handed in, where the standard
// library reads the one of this process.
package environ

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Get gives a variable of an environment as [os.Environ] has it, or "".
func Get(env []string, name string) string {
	value, _ := Lookup(env, name)
	return value
}

// Lookup tells also whether the variable is set. Of several entries the last one
// counts, as it does for a program that is started.
func Lookup(env []string, name string) (value string, ok bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(env[i], name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// LookPath finds a program in the folders of a PATH. Relative ones are left out:
// they would let the folder that somebody works in say what is run. The error
// wraps [exec.ErrNotFound].
func LookPath(path, program string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if file := filepath.Join(dir, program); filepath.IsAbs(dir) && Executable(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("there is no program %q in PATH (%s): %w", program, path, exec.ErrNotFound)
}

// Executable tells whether a file is a program.
func Executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
