package testhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/environ"
)

const commandTimeout = 20 * time.Second

// tool finds a program of the machine; the sbin folders are searched too because
// not every PATH has them.
func tool(name string) (string, error) {
	path, err := environ.LookPath(os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", name)
	if err != nil {
		return "", fmt.Errorf("the test hosts need more, run .ci/setup: %w", err)
	}
	return path, nil
}

// command runs a program of the machine to its end; input goes to its stdin.
func command(input, name string, args ...string) error {
	path, err := tool(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(input+string(out)))
	}
	return nil
}

// projectNix is the folder that .ci/setup fills, and the nix that it has, both by
// their real names: either may be reached by links.
func projectNix() (cache, nix string, err error) {
	repo, err := repository()
	if err != nil {
		return "", "", err
	}
	if cache, err = filepath.EvalSymlinks(filepath.Join(repo, ".cache")); err != nil {
		return "", "", fmt.Errorf("the test hosts need what .ci/setup brings: %w", err)
	}
	if nix, err = filepath.EvalSymlinks(filepath.Join(cache, "bin/nix")); err != nil {
		return "", "", fmt.Errorf("the light test hosts need Nix, run .ci/setup: %w", err)
	}
	return cache, nix, nil
}

// repository is the root of the project, found upwards of the test's folder.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".ci", "setup")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("the test hosts are used from tests inside the project only: found no .ci/setup upwards of here")
}
