package secrets

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/crs58/fleet/internal/repository"
)

// Group is a named set of readers.
type Group struct {
	Name string
	// Users and Machines are its members, sorted.
	Users, Machines []string
}

// Member is a user or machine as part of a group.
type Member struct {
	Name    string
	Machine bool
}

func (m Member) String() string {
	if m.Machine {
		return "machine " + m.Name
	}
	return "user " + m.Name
}

func (m Member) kind() string {
	if m.Machine {
		return linkMachines
	}
	return linkUsers
}

// has tells whether somebody is in the group.
func (g Group) has(m Member) bool {
	if m.Machine {
		return slices.Contains(g.Machines, m.Name)
	}
	return slices.Contains(g.Users, m.Name)
}

// JoinGroup gives the link that makes somebody a member of a group, which need
// not exist; nothing if they are. The secrets of the group are not yet readable
// for them: [Rewrap] them.
func JoinGroup(l Layout, group string, m Member) ([]repository.File, error) {
	switch l.(type) {
	case *Clan:
	case *Age:
		return nil, ErrInFlake
	default:
		return nil, errors.New("the layout of this fleet has no groups: every administrator reads everything")
	}
	for kind, name := range map[string]string{"group": group, "member": m.Name} {
		if err := checkName(kind, name); err != nil {
			return nil, err
		}
	}
	groups, err := l.Groups()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(groups, func(g Group) bool { return g.Name == group && g.has(m) }) {
		return nil, nil
	}
	folder := path.Join(groupsDir, group, m.kind())
	return []repository.File{{Path: path.Join(folder, m.Name), Link: linkTo(folder, m.kind(), m.Name)}}, nil
}

// LeaveGroup gives the link by which somebody is in a group, as gone. The secrets
// of the group are still readable for them: [Reencrypt] them.
func LeaveGroup(l Layout, group string, m Member) ([]repository.File, error) {
	groups, err := l.Groups()
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(groups, func(g Group) bool { return g.Name == group && g.has(m) }) {
		return nil, fmt.Errorf("%s is not in a group %s: see `fleet vars keys list`", m, group)
	}
	return []repository.File{{Path: path.Join(groupsDir, group, m.kind(), m.Name), Gone: true}}, nil
}

// leaveGroups gives the links by which a user is in groups, as gone.
func leaveGroups(l Layout, user string) (files []repository.File, err error) {
	groups, err := l.Groups()
	for _, group := range groups {
		if m := (Member{Name: user}); group.has(m) {
			files = append(files, repository.File{Path: path.Join(groupsDir, group.Name, m.kind(), user), Gone: true})
		}
	}
	return files, err
}
