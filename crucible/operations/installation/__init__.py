"""What is installed here and how it is set up: every setting with its source, the settings file, the doctor.

Entry points: `setting_sources.read_settings`, `settings_template.template`, `doctor.examine`.
"""
