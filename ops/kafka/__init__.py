"""What the cluster says: topics, groups, members, committed and end offsets."""
