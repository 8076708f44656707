"""Lambda, and what stands around it on AWS, on this machine: functions run as they are there."""
