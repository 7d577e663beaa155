"""Kernels: functions over arrays and integers that know no transcript, file, clock or global."""
