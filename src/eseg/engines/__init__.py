"""Engines that need torch: checkpoints and AOTInductor packages."""
