"""Published constants as data files, each naming its source, its digest and the test that derives it again."""
