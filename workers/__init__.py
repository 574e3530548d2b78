"""Workers: the slow work, by RQ. `service` never imports anything of here."""
