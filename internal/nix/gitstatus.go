package nix

import (
	"errors"
	"fmt"
	"strings"
)

// gitStatus is what `git status --porcelain=v2 --branch -z` says.
type gitStatus struct {
	// Head is the commit, "(initial)" before the first one.
	Head    string
	Changes []gitChange
}

// gitChange is a tracked path that is not as in the commit.
type gitChange struct {
	// Line is the record as git prints it: kind of change, modes, hashes.
	Line string
	// Path and From (of a rename) are relative to the top of the work tree.
	Path, From string
	// Submodule says that the path is one.
	Submodule bool
}

// parseGitStatus reads records that end with NUL; a renamed path has a second
// one with its old name.
func parseGitStatus(data string) (gitStatus, error) {
	var out gitStatus
	for data != "" {
		var record string
		var ok bool
		if record, data, ok = strings.Cut(data, "\x00"); !ok {
			return out, errors.New("git status: the answer is cut off")
		}
		if head, found := strings.CutPrefix(record, "# branch.oid "); found {
			out.Head = head
			continue
		}
		if strings.HasPrefix(record, "# ") || strings.HasPrefix(record, "? ") || strings.HasPrefix(record, "! ") {
			continue
		}
		// fields before the path: 1 XY sub mH mI mW hH hI path
		fields := map[byte]int{'1': 8, '2': 9, 'u': 10}[first(record)]
		parts := strings.SplitN(record, " ", fields+1)
		if fields == 0 || len(parts) != fields+1 || parts[fields] == "" {
			return out, fmt.Errorf("git status: unknown record %q", record)
		}
		change := gitChange{Line: record, Path: parts[fields], Submodule: strings.HasPrefix(parts[2], "S")}
		if record[0] == '2' {
			if change.From, data, ok = strings.Cut(data, "\x00"); !ok {
				return out, errors.New("git status: the answer is cut off")
			}
		}
		out.Changes = append(out.Changes, change)
	}
	if out.Head == "" {
		return out, errors.New("git status: the answer names no commit")
	}
	return out, nil
}

func first(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}
