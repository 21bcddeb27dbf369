package sqlite

import "context"

// One setting by its primary key.
const (
	sqlSetting    = `SELECT value FROM offstage_setting WHERE name = ?`
	sqlAddSetting = `INSERT INTO offstage_setting (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING`
)

// Setting returns what is kept under a name; the first value that comes stays.
func (s *Store) Setting(ctx context.Context, name string, value []byte) ([]byte, error) {
	var kept row
	err := s.glance(ctx, "read a setting", func(ses session) (err error) {
		kept, err = first(ses.rows(sqlSetting, name))
		return err
	})
	if err == nil && kept == nil {
		err = s.write(ctx, "keep a setting", func(t *tx) error {
			if _, err := t.exec(sqlAddSetting, name, append([]byte{}, value...)); err != nil {
				return err
			}
			kept, err = first(t.rows(sqlSetting, name))
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return kept.blob(0), nil
}
