package cli

import (
	"testing"
	"time"
)

func TestAgo(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for past, want := range map[time.Duration]string{
		-time.Hour: "now", 0: "now", 59 * time.Second: "now", time.Minute: "1 minute", 59 * time.Minute: "59 minutes",
		time.Hour: "1 hour", 47 * time.Hour: "1 day", 29 * day: "29 days", 30 * day: "1 month", 364 * day: "12 months", 800 * day: "2 years",
	} {
		if got := ago(now, now.Add(-past)); got != want {
			t.Errorf("%s ago is %q, want %q", past, got, want)
		}
	}
	if got := ago(now, time.Time{}); got != "–" {
		t.Errorf("never is %q", got)
	}
}
