package controller

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"shoal"
	"shoal/internal/deploy/fleetstore"
	"shoal/internal/deploy/rollout"
)

// The audit log is the journal. What a rollout decides is written in chunks: a
// record is called after the rollout and the number of the first action in it,
// and holds those that follow each other. A chunk always begins where the last
// one ended, so whoever writes what is there already learns from the record how
// far it goes, and goes on behind it: no action is in the log twice, whoever
// leads. What a person does is a record by itself.
const (
	chunkActions = 500
	chunkText    = 2000 // bytes of a text in an entry
	// entriesBits is room for the entries of a record in AuditEntry.N.
	entriesBits = 10
)

// journal writes the outbox to the audit log.
func (c *Controller) journal(ctx context.Context, s *rollout.State, now time.Time) error {
	for rest := s.Outbox; len(rest) > 0; {
		var entries []shoal.AuditEntry
		for _, a := range rest[:min(len(rest), chunkActions)] {
			what := s.Rollout.Name()
			if a.Host != "" {
				what += " " + a.Host
			}
			entries = append(entries, shoal.AuditEntry{
				At: now, By: "rollout", Do: string(a.Kind), What: what, Rollout: s.Rollout.ID, Action: a.N, Text: short(a.Text),
			})
		}
		data, err := json.Marshal(entries)
		if err != nil {
			return err
		}
		rec, err := c.store.Append(ctx, fmt.Sprintf("rollout.%d.%d", s.Rollout.ID, rest[0].N), data)
		if errors.Is(err, fleetstore.ErrTaken) {
			entries = nil
			err = json.Unmarshal(rec.Data, &entries)
		}
		if err != nil {
			return fmt.Errorf("audit log: %w", err)
		}
		if len(entries) == 0 {
			return fmt.Errorf("audit log: record %s is empty", rec.Name)
		}
		last := entries[len(entries)-1].Action
		for len(rest) > 0 && rest[0].N <= last {
			rest = rest[1:]
		}
	}
	return nil
}

func short(text string) string {
	if len(text) > chunkText {
		return text[:chunkText] + "..."
	}
	return text
}

// record writes what a person does to the audit log, before it is done.
func (c *Controller) record(ctx context.Context, e shoal.AuditEntry) error {
	p := shoal.PrincipalOf(ctx)
	e.At, e.By, e.Text = time.Now(), p.Name, short(e.Text)
	data, err := json.Marshal([]shoal.AuditEntry{e})
	if err != nil {
		return err
	}
	if _, err := c.store.Append(ctx, "by."+rand.Text(), data); err != nil {
		return fmt.Errorf("nothing was done, since the audit log takes no entry: %w", err)
	}
	return nil
}

const auditLimit = 1000

// Audit reads the audit log.
func (c *Controller) Audit(ctx context.Context, q shoal.AuditQuery) ([]shoal.AuditEntry, error) {
	if err := c.enter(ctx, shoal.ToAudit, "", ""); err != nil {
		return nil, err
	}
	if q.Limit <= 0 || q.Limit > 10*auditLimit {
		q.Limit = auditLimit
	}
	var out []shoal.AuditEntry
	after := q.After >> entriesBits // the record of that entry may have more
	for seq := after - min(after, 1); ; {
		records, err := c.store.Read(ctx, seq, 64)
		if err != nil || len(records) == 0 {
			return out, err
		}
		for _, r := range records {
			seq = r.Seq
			var entries []shoal.AuditEntry
			if err := json.Unmarshal(r.Data, &entries); err != nil {
				return out, fmt.Errorf("audit log, record %d: %w", r.Seq, err)
			}
			for i, e := range entries {
				e.N = r.Seq<<entriesBits | uint64(min(i, 1<<entriesBits-1))
				if e.N <= q.After || q.Rollout != 0 && e.Rollout != q.Rollout {
					continue
				}
				if out = append(out, e); len(out) >= q.Limit {
					return out, nil
				}
			}
		}
	}
}
