package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/crs58/fleet/internal/environ"
)

// gitTimeout bounds a call of git: a hook or a signing program may wait for
// somebody who is not there.
const gitTimeout = 2 * time.Minute

// Open finds out whether a folder is in a work tree. Without git nothing is
// tracked, and nothing needs to be. env is what git is found by and runs in.
func Open(ctx context.Context, root string, env []string) (*Repository, error) {
	r := &Repository{root: root, env: gitEnv(env)}
	out, err := r.Git(ctx, "rev-parse", "--is-inside-work-tree", "--absolute-git-dir")
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.As(err, &exit) && strings.Contains(err.Error(), "not a git repository"):
		return r, nil
	case err != nil:
		return nil, err
	}
	if inside, dir, _ := strings.Cut(strings.TrimSpace(out), "\n"); inside == "true" {
		r.gitDir = dir
	}
	return r, nil
}

// gitEnv keeps from git and its hooks what is only fleet's business.
func gitEnv(env []string) []string {
	kept := []string{}
	for _, v := range env {
		if !strings.HasPrefix(v, "SOPS_") && !strings.HasPrefix(v, "FLEET_PROMPT_") && !strings.HasPrefix(v, "LC_ALL=") {
			kept = append(kept, v)
		}
	}
	return append(kept, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0")
}

// track lets git know of new files, and of nothing else: a flake sees only what
// git tracks. They are added with their content: a file added with intent only
// is emptied by `git checkout .`, and a secret would be lost.
func (r *Repository) track(ctx context.Context, j journal) error {
	added, gone := []string{}, []string{}
	for _, f := range j.Files {
		switch {
		case f.New:
			added = append(added, f.Final)
		case f.Gone:
			gone = append(gone, f.Final)
		}
	}
	if r.gitDir == "" {
		return nil
	}
	if len(gone) > 0 {
		if err := r.gitPaths(ctx, gone, "rm", "--cached", "--quiet", "--ignore-unmatch"); err != nil {
			return fmt.Errorf("the files are written, but git does not know what was removed; `git -C %s add --update %s` tells it: %w", r.root, tops(gone), err)
		}
	}
	if len(added) == 0 {
		return nil
	}
	if err := r.gitPaths(ctx, added, "add"); err != nil {
		return fmt.Errorf("the files are written, but git does not know the new ones, so the flake does not see them; `git -C %s add %s` tells it: %w", r.root, tops(added), err)
	}
	return nil
}

// commit commits exactly the files of a transaction.
func (r *Repository) commit(ctx context.Context, j journal) error {
	if r.gitDir == "" {
		return nil
	}
	all := []string{}
	for _, f := range j.Files {
		if f.Gone {
			// What was never committed cannot be committed as gone.
			if _, err := r.Git(ctx, "cat-file", "-e", "HEAD:./"+f.Final); err != nil {
				continue
			}
		}
		all = append(all, f.Final)
	}
	if len(all) == 0 {
		return nil
	}
	if err := r.gitPaths(ctx, all, "commit", "--quiet", "--only", "--message", j.Message); err != nil {
		return fmt.Errorf("the files are written, but could not be committed; `git -C %s commit -- %s` does it: %w", r.root, tops(all), err)
	}
	return nil
}

// tops are the folders at the top that hold all of the paths, for a person to type.
func tops(paths []string) string {
	var all []string
	for _, p := range paths {
		first, _, _ := strings.Cut(p, "/")
		all = append(all, first)
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

// gitPaths hands the paths over on standard input, because a large fleet has
// more than fit into arguments, and literally, because a name may hold a star.
func (r *Repository) gitPaths(ctx context.Context, paths []string, args ...string) error {
	args = append([]string{"--literal-pathspecs"}, args...)
	_, err := r.run(ctx, strings.Join(paths, "\x00"), append(args, "--pathspec-from-file=-", "--pathspec-file-nul")...)
	return err
}

// Git runs git in the folder and gives what it prints.
func (r *Repository) Git(ctx context.Context, args ...string) (string, error) {
	return r.run(ctx, "", args...)
}

func (r *Repository) run(ctx context.Context, input string, args ...string) (string, error) {
	var stdout bytes.Buffer
	if err := r.stream(ctx, strings.NewReader(input), &stdout, args...); err != nil {
		return "", err
	}
	return stdout.String(), nil
}

// Stream runs git and hands on what it prints while it does.
func (r *Repository) Stream(ctx context.Context, stdout io.Writer, args ...string) error {
	return r.stream(ctx, nil, stdout, args...)
}

func (r *Repository) stream(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	git, err := environ.LookPath(environ.Get(r.env, "PATH"), "git")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, git, append([]string{"-C", r.root}, args...)...)
	cmd.Env = r.env
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
