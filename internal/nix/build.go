package nix

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Build runs nix build. See Executor.
func (c *CLI) Build(ctx context.Context, req BuildRequest) ([]BuildResult, error) {
	if len(req.Installables) == 0 {
		return nil, nil
	}
	args := []string{"build", "--json", "--show-trace"}
	if req.OutLink != "" {
		args = append(args, "--out-link", req.OutLink)
	} else {
		args = append(args, "--no-link")
	}
	if req.Store != "" {
		args = append(args, "--store", req.Store)
	}
	if req.DryRun {
		args = append(args, "--dry-run")
	}
	if req.KeepGoing {
		args = append(args, "--keep-going")
	}
	args = append(args, c.lockArgs()...)
	args = append(args, req.Args...)
	args = append(args, "--")
	args = append(args, req.Installables...)
	out, err := c.run(ctx, process{
		op: "build", subject: shorten(req.Installables), refs: req.Installables, args: args, onEvent: req.OnEvent,
	})
	if err != nil {
		return nil, err
	}
	var results []BuildResult
	if err := json.Unmarshal(out, &results); err != nil {
		return nil, fmt.Errorf("nix build: reading its answer: %w", err)
	}
	return results, nil
}

var (
	drvInMessage = regexp.MustCompile(`'(/[^'\s]*/[0-9a-z]{32}-[^'\s]+\.drv)`)
	logExcerpt   = regexp.MustCompile(`(?s)[;,.]?\s*(?:[Ll]ast \d+ log lines|Output paths):.*`)
)

// failures finds the derivations that failed, causes before what needed them,
// each sorted by name: the order in which parallel builds fail is chance.
func failures(s *stderr) []BuildFailure {
	var causes, dependents []BuildFailure
	seen := map[string]bool{}
	for _, entry := range s.errors {
		message := clean(entry.RawMsg)
		if message == "" {
			message = parseErrorText(clean(entry.Msg)).Message
		}
		message = strings.TrimSpace(logExcerpt.ReplaceAllString(message, ""))
		m := drvInMessage.FindStringSubmatch(message)
		if m == nil || strings.HasPrefix(message, "build of ") || seen[m[1]] {
			continue
		}
		seen[m[1]] = true
		f := BuildFailure{DrvPath: m[1], Message: message, Log: s.builds[m[1]]}
		if f.Dependency = dependencyFailed(message); f.Dependency {
			dependents = append(dependents, f)
		} else {
			causes = append(causes, f)
		}
	}
	byName := func(a, b BuildFailure) int {
		return cmp.Or(cmp.Compare(storeName(a.DrvPath), storeName(b.DrvPath)), cmp.Compare(a.DrvPath, b.DrvPath))
	}
	slices.SortFunc(causes, byName)
	slices.SortFunc(dependents, byName)
	return append(causes, dependents...)
}

// dependencyFailed knows the wordings of Nix up to 2.31 and after.
func dependencyFailed(message string) bool {
	return strings.Contains(message, "dependencies of derivation") || strings.Contains(message, "dependency failed") ||
		strings.Contains(message, "dependencies failed")
}

// shorten names many installables in an error without filling the screen.
func shorten(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], " "), len(names)-shown)
}
